//! A queue and a stream whose partitions are split and merged all the time are played with many clients (`topic.rs`), right
//! and with one defect at a time: of the right ones no check finds anything, and each defect is found by the check that is
//! there for it.

#[path = "../played/defects.rs"]
mod defects;
#[path = "../differential/dice.rs"]
mod dice;
mod topic;

use std::collections::BTreeSet;

use topic::{Defect, play};
use weir_checker::{Options, Report, judge};

/// Histories of topics that do as they should.
const RIGHT: u64 = 100;

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
    defects::each_is_found(Defect::ALL, |seed, defect| anomalies(&report(seed, Some(defect))));
}
