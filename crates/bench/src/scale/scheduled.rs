//! Very many messages wait for a time that is far away; some more become due at a steady rate.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use weir_client::{Record, WorkerOptions};

use super::{Figure, Stage, figure, memory, publish, rate};
use crate::system::Error;

const BODY: [u8; 100] = [b'.'; 100];
/// Far away: none of the many fires.
const FAR: Duration = Duration::from_hours(24);
/// Of those that do: so many a second, for so long.
const DUE_PER_SECOND: u64 = 10_000;
const DUE_SECONDS: u64 = 10;
/// Between the moment at which they begin to be sent and the first one's time.
const LEAD: Duration = Duration::from_secs(8);
/// Messages that the worker holds at most, and acks under way.
const CREDIT: u32 = 1_024;

pub(super) async fn play(stage: &Stage, count: u64) -> Result<Vec<Figure>, Error> {
    let before = memory::of(stage).await?;
    let far = milliseconds(SystemTime::now() + FAR);
    let took = publish::all(stage, count, |_| Record::new(&BODY[..]).deliver_at_ms(far)).await?;
    let mut figures = vec![rate("messages scheduled", count, took)];
    figures.push(counted(stage, count).await?);
    figures.extend(memory::figures(stage, before, count, "scheduled messages").await?);
    figures.extend(fire(stage, DUE_PER_SECOND.min(count)).await?);
    Ok(figures)
}

/// How long it takes until the partition has said how many wait.
async fn counted(stage: &Stage, count: u64) -> Result<Figure, Error> {
    let asked = Instant::now();
    let stats = stage.client.admin().queue_stats(&stage.topic).await?;
    let took = asked.elapsed();
    let scheduled: u64 = stats.iter().map(|partition| partition.scheduled).sum();
    if scheduled != count {
        return Err(format!("{scheduled} messages are said to be scheduled, {count} were").into());
    }
    Ok(figure("answer with the counts", took.as_secs_f64() * 1e3, "ms"))
}

/// Messages become due at a steady rate, and a worker takes them: how late.
async fn fire(stage: &Stage, per_second: u64) -> Result<Vec<Figure>, Error> {
    let count = per_second * DUE_SECONDS;
    let first = milliseconds(SystemTime::now() + LEAD);
    let due = |number: u64| first + number * 1_000 / per_second;
    publish::all(stage, count, |number| {
        Record::new(due(number).to_be_bytes().to_vec()).deliver_at_ms(due(number))
    })
    .await?;
    if milliseconds(SystemTime::now()) > first {
        return Err(format!("{count} messages were not sent within {} s", LEAD.as_secs()).into());
    }
    stage.tell(format!("{per_second} messages a second become due"));
    let options = WorkerOptions { credit: CREDIT, ..WorkerOptions::default() };
    let mut worker = stage.client.queue_worker(&stage.topic, options).await?;
    let mut late = Histogram::<u64>::new(3)?;
    let mut acks = FuturesUnordered::new();
    for _ in 0..count {
        let message = worker.next().await.ok_or("the worker has ended")??;
        let now = milliseconds(SystemTime::now());
        let body = message.value.as_deref().ok_or("a message without a body")?;
        let due = u64::from_be_bytes(body.try_into()?);
        if now < due {
            return Err(format!("a message came {} ms before its time", due - now).into());
        }
        late.saturating_record(now - due);
        acks.push(message.ack());
        while acks.len() >= CREDIT as usize {
            acks.next().await.unwrap_or(Ok(()))?;
        }
    }
    while let Some(acked) = acks.next().await {
        acked?;
    }
    worker.close().await?;
    let at = |quantile| late.value_at_quantile(quantile) as f64;
    Ok(vec![
        figure("became due", per_second as f64, "per second"),
        figure("delivered after their time, median", at(0.5), "ms"),
        figure("delivered after their time, p99", at(0.99), "ms"),
        figure("delivered after their time, at most", late.max() as f64, "ms"),
    ])
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
