//! A queue and a stream whose partitions are split and merged all the time are played with many clients (`topic.rs`), right
//! and with one defect at a time: of the right ones no check finds anything, and each defect is found by the check that is
//! there for it.

#[path = "../differential/dice.rs"]
mod dice;
mod topic;

use std::collections::BTreeSet;

use topic::{Defect, play};
use weir_checker::{Options, Report, judge};

/// Histories of topics that do as they should.
const RIGHT: u64 = 100;
/// Histories within which a defect must show.
const WRONG_MAX: u64 = 30;

fn report(seed: u64, defect: Option<Defect>) -> Report {
    judge(play(seed, defect).into_iter().map(Ok), &Options::default(), 2).expect("nothing is read")
}

/// Anomalies of queues, streams and groups, each with its check: a short history has no phases, and covers nothing.
fn anomalies(report: &Report) -> BTreeSet<String> {
    let ours = report.anomalies().filter(|anomaly| anomaly.check.starts_with(['Q', 'S', 'G']));
    ours.map(|anomaly| format!("{} {}", anomaly.check, anomaly.name)).collect()
}

#[test]
fn nothing_is_found_where_keys_keep_their_order() {
    for seed in 0..RIGHT {
        let report = report(seed, None);
        assert!(anomalies(&report).is_empty(), "seed {seed}: {report}");
        // A queue that is not drained says nothing of what was lost; all other checks can tell.
        let ours = report.checks.iter().filter(|checked| !checked.name.starts_with("Q1 "));
        let ours = ours.filter(|checked| checked.name.starts_with(['Q', 'S', 'G']));
        assert!(ours.into_iter().all(|checked| checked.findings.unknown.is_empty()), "seed {seed}: {report}");
    }
}

#[test]
fn every_defect_is_found_by_the_check_that_is_there_for_it() {
    let mut missed = Vec::new();
    for (defect, anomaly) in Defect::ALL {
        let mut seen = BTreeSet::new();
        let found = (0..WRONG_MAX).find(|seed| {
            let shown = anomalies(&report(*seed, Some(*defect)));
            let found = shown.contains(*anomaly);
            seen.extend(shown);
            found
        });
        match found {
            Some(seed) => eprintln!("{defect:?}: {anomaly} after {} histories", seed + 1),
            None => missed.push(format!("{defect:?}: no {anomaly}, but {seen:?}")),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
