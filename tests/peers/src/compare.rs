//! Weir and its peers in turn: a sweep of each to find its best, then repeats of the bests.

use std::collections::BTreeMap;

use weir_bench::system::Error;

use crate::cell::{Cell, Measured, Software, Subject};
use crate::figures::Figure;
use crate::own;
use crate::stage::Stage;
use crate::sweep;

/// Bytes of a message.
const SIZE: usize = 1_024;
/// End to end at a fixed rate: queues, window, messages per second. RabbitMQ keeps this rate on two cores.
const STEADY: (u32, u32, f64) = (3, 512, 2_000.0);

/// All comparisons.
pub async fn all(stage: &mut Stage, repeats: u32) -> Result<(Vec<Figure>, Vec<Measured>), Error> {
    let publish =
        [Subject::WeirStream, Subject::RabbitmqQuorum, Subject::RabbitmqStream, Subject::NatsStream];
    let cycle = [Subject::WeirQueue, Subject::RabbitmqQuorum, Subject::NatsWorkQueue];
    let (mut sweeps, published) = bests(stage, &publish, false, repeats).await?;
    let (more, cycled) = bests(stage, &cycle, true, repeats).await?;
    sweeps.extend(more);
    let steady = steady(stage, repeats).await?;
    let rate = |measured: &Measured| measured.report.rate();
    let stream = &published[&Subject::WeirStream];
    let queue = &cycled[&Subject::WeirQueue];
    let mut figures = vec![
        Figure::ratio("stream_vs_rabbitmq_quorum", stream, &published[&Subject::RabbitmqQuorum], rate),
        Figure::ratio(
            "stream_vs_rabbitmq_streams_nofsync",
            stream,
            &published[&Subject::RabbitmqStream],
            rate,
        ),
        Figure::ratio("stream_vs_nats_nofsync", stream, &published[&Subject::NatsStream], rate),
        Figure::ratio("queue_cycle_vs_rabbitmq_quorum", queue, &cycled[&Subject::RabbitmqQuorum], rate),
        Figure::ratio("queue_cycle_vs_nats_nofsync", queue, &cycled[&Subject::NatsWorkQueue], rate),
        Figure::ratio(
            "e2e_p99_vs_rabbitmq_quorum",
            &steady[&Subject::WeirQueue],
            &steady[&Subject::RabbitmqQuorum],
            |measured| measured.report.consumed.as_ref().map_or(f64::NAN, |side| side.latency.p99),
        ),
        Figure::ratio(
            "cpu_per_message_vs_rabbitmq_quorum",
            stream,
            &published[&Subject::RabbitmqQuorum],
            Measured::cpu_per_million,
        ),
    ];
    let rates: Vec<f64> = stream.iter().map(rate).collect();
    let best = stream.first().ok_or("no repeats")?.cell;
    let (more, measured) = own::all(stage, (best, sweep::median(&rates)), repeats).await?;
    figures.extend(more);
    sweeps.extend(measured);
    Ok((figures, sweeps))
}

/// What Weir is measured by alone, without any peer.
pub async fn alone(stage: &mut Stage, repeats: u32) -> Result<(Vec<Figure>, Vec<Measured>), Error> {
    let mut swept = stage.measure(Software::Weir, &sweep::cells(Subject::WeirStream, SIZE, false)).await?;
    let best = sweep::best(&swept).ok_or("a sweep of nothing")?;
    let rate = swept.iter().map(|measured| measured.report.rate()).fold(0.0, f64::max);
    let (figures, measured) = own::all(stage, (best, rate), repeats).await?;
    swept.extend(measured);
    Ok((figures, swept))
}

type Repeats = BTreeMap<Subject, Vec<Measured>>;

/// A sweep of each subject; then the best cell of each, again and again in turn.
async fn bests(
    stage: &mut Stage,
    subjects: &[Subject],
    cycle: bool,
    repeats: u32,
) -> Result<(Vec<Measured>, Repeats), Error> {
    let mut sweeps = Vec::new();
    let mut cells = BTreeMap::new();
    for subject in subjects {
        let measured = stage.measure(subject.software(), &sweep::cells(*subject, SIZE, cycle)).await?;
        let best = sweep::best(&measured).ok_or("a sweep of nothing")?;
        cells.insert(*subject, best);
        sweeps.extend(measured);
    }
    let repeated = in_turn(stage, &cells, repeats).await?;
    Ok((sweeps, repeated))
}

async fn steady(stage: &mut Stage, repeats: u32) -> Result<Repeats, Error> {
    let (queues, in_flight, rate) = STEADY;
    let cell = |subject| Cell { subject, queues, in_flight, size: SIZE, cycle: true, rate: Some(rate) };
    let cells = [Subject::WeirQueue, Subject::RabbitmqQuorum].map(|subject| (subject, cell(subject)));
    in_turn(stage, &BTreeMap::from(cells), repeats).await
}

/// A B C, A B C, …: each on a cluster of its own with fresh data.
async fn in_turn(stage: &mut Stage, cells: &BTreeMap<Subject, Cell>, repeats: u32) -> Result<Repeats, Error> {
    let mut all = Repeats::new();
    for _ in 0..repeats {
        for (subject, cell) in cells {
            let measured = stage.measure(subject.software(), std::slice::from_ref(cell)).await?;
            all.entry(*subject).or_default().extend(measured);
        }
    }
    Ok(all)
}
