//! A run that never was: five nodes, a queue and a stream, faults, and two broken promises. It looks like a real one, so
//! that the page and the export can be tried without a cluster.

mod cluster;
mod load;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use serde_json::json;
use weir_checker::{
    Anomaly, Checked, Event, Figures, Findings, Lost, Micros, Op, Outcome, Phase, Process, Report, Verdict,
    Writer,
};

use cluster::Cluster;
use load::Load;

pub(crate) const SECOND: Micros = 1_000_000;

/// A directory with everything that a run leaves behind, but for its page.
pub(crate) fn write(directory: &Path, seconds: u64, per_second: u64) -> io::Result<()> {
    let cluster = Cluster::new(seconds * SECOND);
    let mut load = Load::new(&cluster, per_second);
    load.run();
    let (mut events, broken) = load.finish();
    events.extend(cluster.events());
    events.extend(phases(cluster.length));
    events.push(harness(cluster.length * 65 / 100, Op::Lost(Lost::Stall(SECOND / 4))));
    // In the order in which they were written: when they ended, or when their client gave up.
    events.sort_by_key(|event| event.to.unwrap_or(event.from + 2 * SECOND));
    let mut history = Writer::new(BufWriter::new(File::create(directory.join("history.jsonl"))?));
    for event in &events {
        history.write(event)?;
    }
    history.into_inner().into_inner()?;
    let write = |name: &str, value: &serde_json::Value| {
        serde_json::to_writer_pretty(File::create(directory.join(name))?, value).map_err(io::Error::from)
    };
    write("results.json", &json!(report(&events, &broken)))?;
    write("schedule.json", &json!({ "steps": cluster.steps() }))?;
    write("options.json", &options(seconds, per_second))
}

/// As a real run would have written them.
fn options(seconds: u64, per_second: u64) -> serde_json::Value {
    json!({
        "workload": "mixed", "nemesis": ["kill", "partition", "pause"], "time_limit_s": seconds, "seed": 7,
        "nodes": 5, "rate": per_second, "concurrency": 20, "partitions": 3, "lease_ms": 5000, "deadline_ms": 2000,
        "net": "tun", "disk": "loop", "binary": "weir", "other_binary": null, "log_level": "info", "keep": false,
    })
}

fn harness(from: Micros, op: Op) -> Event {
    Event { from, to: Some(from), process: Process(0), node: None, op, outcome: Outcome::Ok, error: None }
}

fn phases(length: Micros) -> impl Iterator<Item = Event> {
    let all = [
        (0, Phase::Warm),
        (5, Phase::Main),
        (78, Phase::Quiet),
        (81, Phase::Healed),
        (81, Phase::Recovery),
        (92, Phase::Drain),
        (99, Phase::End),
    ];
    all.into_iter().map(move |(percent, phase)| harness(length * percent / 100, Op::Phase(phase)))
}

/// What checks would say of it.
fn report(events: &[Event], broken: &load::Broken) -> Report {
    let mut checks: Vec<Checked> = [
        "Q1 lost-message",
        "Q2 lost-on-replica",
        "Q5 duplicate-enqueue",
        "Q6 redelivery-after-ack",
        "Q8 double-grant",
        "S lost-write",
        "S duplicate",
        "S poll-skip",
        "L1 unavailable-after-heal",
        "C1 coverage",
    ]
    .map(|name| Checked { name: name.to_owned(), findings: Findings::default() })
    .into();
    checks[3].findings.anomalies.push(anomaly("Q6", "redelivery-after-ack", &broken.redelivered, events));
    checks[5].findings.anomalies.push(anomaly("S", "lost-write", &broken.lost, events));
    checks[7].findings.notes.push("12 offsets were never polled by any reader".to_owned());
    checks[9]
        .findings
        .unknown
        .push("the nemesis hit a leader only 2 times with `pause`; 3 are needed".to_owned());
    let mut figures = Figures { events: events.len() as u64, ..Figures::default() };
    figures.length = events.iter().map(|event| event.to.unwrap_or(event.from)).max().unwrap_or(0);
    for event in events.iter().filter(|event| event.process.0 > 0) {
        *match event.outcome {
            Outcome::Ok => &mut figures.ok,
            Outcome::Fail => &mut figures.fail,
            Outcome::Info => &mut figures.info,
        } += 1;
    }
    Report { verdict: Verdict::Invalid, checks, figures }
}

/// An anomaly that the events which touch it prove.
fn anomaly(check: &str, name: &str, broken: &load::Promise, events: &[Event]) -> Anomaly {
    let lines: BTreeMap<u64, &Event> =
        (0..).zip(events).filter(|(_, event)| broken.proof.contains(event)).collect();
    Anomaly {
        check: check.to_owned(),
        name: name.to_owned(),
        at: lines.values().filter_map(|event| event.to).max().unwrap_or(0),
        topic: broken.topic.to_owned(),
        subject: broken.subject.clone(),
        text: broken.text.clone(),
        evidence: lines.into_keys().collect(),
    }
}
