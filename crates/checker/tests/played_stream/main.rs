//! A stream with a group is played with many clients (`stream.rs`), right and with one defect at a time: of the right one
//! no check finds anything, and each defect is found by the check that is there for it.

mod clients;
#[path = "../played/defects.rs"]
mod defects;
#[path = "../differential/dice.rs"]
mod dice;
mod stream;

use std::collections::BTreeSet;

use stream::Defect;
use weir_checker::{Options, Report, judge};

/// Histories of a stream that does as it should.
const RIGHT: u64 = 400;

fn report(seed: u64, defect: Option<Defect>) -> Report {
    let history = clients::play(seed, defect);
    let mut options = Options::default();
    options.groups.polls_are_fenced = true;
    judge(history.into_iter().map(Ok), &options, 2).expect("nothing is read")
}

/// Anomalies of streams and groups: a short history has no phases, and covers nothing.
fn anomalies(report: &Report) -> BTreeSet<String> {
    let ours = report.anomalies().filter(|anomaly| anomaly.check.starts_with(['S', 'G']));
    ours.map(|anomaly| anomaly.name.clone()).collect()
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
fn nothing_is_found_in_a_stream_that_does_as_it_should() {
    for seed in 0..RIGHT {
        let report = report(seed, None);
        assert!(anomalies(&report).is_empty(), "seed {seed}: {report}\n{}", evidence(seed, &report));
        let ours = report.checks.iter().filter(|checked| checked.name.starts_with(['S', 'G']));
        assert!(ours.into_iter().all(|checked| checked.findings.unknown.is_empty()), "seed {seed}: {report}");
    }
}

#[test]
fn every_defect_of_a_stream_is_found_by_the_check_that_is_there_for_it() {
    defects::each_is_found(Defect::ALL, |seed, defect| anomalies(&report(seed, Some(defect))));
}
