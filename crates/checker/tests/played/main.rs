//! A queue is played with many clients (`queue.rs`), right and with one defect at a time: of the right one no check
//! finds anything, and each defect is found by the check that is there for it.

mod clients;
mod defects;
#[path = "../differential/dice.rs"]
mod dice;
mod queue;

use std::collections::BTreeSet;

use queue::Defect;
use weir_checker::{Options, QueueOptions, Report, judge};

/// Histories of a queue that does as it should.
const RIGHT: u64 = 400;

fn report(seed: u64, defect: Option<Defect>) -> Report {
    let queue = QueueOptions { attempts_max: Some(queue::ATTEMPTS_MAX), ..QueueOptions::default() };
    let options = Options { queue, ..Options::default() };
    judge(clients::play(seed, defect).into_iter().map(Ok), &options, 2).expect("nothing is read")
}

fn queue_anomalies(report: &Report) -> BTreeSet<String> {
    let of_queues = report.anomalies().filter(|anomaly| anomaly.check.starts_with('Q'));
    of_queues.map(|anomaly| anomaly.name.clone()).collect()
}

/// The lines that the anomalies name.
fn evidence(seed: u64, report: &Report) -> String {
    let history = clients::play(seed, None);
    let lines: BTreeSet<u64> = report.anomalies().flat_map(|anomaly| anomaly.evidence.clone()).collect();
    let lines =
        lines.into_iter().map(|line| format!("{line}: {}\n", serde_json::json!(history[line as usize])));
    lines.collect()
}

#[test]
fn nothing_is_found_in_a_queue_that_does_as_it_should() {
    for seed in 0..RIGHT {
        let report = report(seed, None);
        assert!(queue_anomalies(&report).is_empty(), "seed {seed}: {report}\n{}", evidence(seed, &report));
        assert!(
            report.checks.iter().all(|checked| checked.findings.unknown.is_empty()),
            "seed {seed}: {report}"
        );
    }
}

#[test]
fn every_defect_of_a_queue_is_found_by_the_check_that_is_there_for_it() {
    defects::each_is_found(Defect::ALL, |seed, defect| queue_anomalies(&report(seed, Some(defect))));
}
