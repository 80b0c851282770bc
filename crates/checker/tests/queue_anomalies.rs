//! Every anomaly of a queue has a file of hand-made histories, `histories/queue/<anomaly>.txt`: the bad ones show it, and in
//! the clean ones no check of queues finds anything.
//!
//! ```text
//! # bad: a sentence that says what is wrong
//! options attempts=3 late=1000 ttl=500 inflight=2 held unknown-attempts
//! 0-10 p1 enqueue 1-0 @0:7
//! ```

mod notation;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use notation::history;
use weir_checker::{Options, QUEUE_ANOMALIES, QueueOptions, Report, judge};

/// Fewest histories of each kind.
const HISTORIES_MIN: usize = 3;

struct Case {
    bad: bool,
    sentence: String,
    options: Options,
    text: String,
}

fn cases(text: &str) -> Vec<Case> {
    let sections = text.split("\n# ").map(|section| section.trim_start_matches("# "));
    sections.filter(|section| !section.trim().is_empty()).map(case).collect()
}

fn case(section: &str) -> Case {
    let (title, body) = section.split_once('\n').expect("a history follows its sentence");
    let (kind, sentence) = title.split_once(": ").expect("bad or clean, and a sentence");
    assert!(["bad", "clean"].contains(&kind), "neither bad nor clean: {title}");
    let chosen = body.lines().filter_map(|line| line.trim().strip_prefix("options "));
    let mut queue = QueueOptions::default();
    for word in chosen.flat_map(str::split_whitespace) {
        let (name, value) = word.split_once('=').unwrap_or((word, "0"));
        let value: u64 = value.parse().expect("a number");
        match name {
            "attempts" => queue.attempts_max = Some(value as u32),
            "unknown-attempts" => queue.attempts_max = None,
            "late" => queue.late_after = Some(value * 1_000),
            "ttl" => queue.ttl = Some(value * 1_000),
            "inflight" => queue.inflight_per_key_max = value as usize,
            "held" => queue.parked_hold_key = true,
            other => panic!("no such option: {other}"),
        }
    }
    let lines: Vec<&str> = body.lines().filter(|line| !line.trim().starts_with("options ")).collect();
    let options = Options { queue, ..Options::default() };
    Case { bad: kind == "bad", sentence: sentence.to_owned(), options, text: lines.join("\n") }
}

fn report(case: &Case, workers: u32) -> Report {
    judge(history(&case.text).into_iter().map(Ok), &case.options, workers).expect("nothing is read")
}

/// Only checks of queues: those of liveness and of the harness have more to ask of a history.
fn anomalies(report: &Report) -> Vec<String> {
    let queues = report.anomalies().filter(|anomaly| anomaly.check.starts_with('Q'));
    queues.map(|anomaly| format!("{} ({}: {})", anomaly.name, anomaly.subject, anomaly.text)).collect()
}

#[test]
fn bad_histories_show_their_anomaly_and_clean_ones_none() {
    let mut wrong = Vec::new();
    for name in QUEUE_ANOMALIES {
        let path = PathBuf::from(format!("tests/histories/queue/{name}.txt"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let cases = cases(&text);
        for bad in [true, false] {
            let count = cases.iter().filter(|case| case.bad == bad).count();
            assert!(count >= HISTORIES_MIN, "{name} has {count} histories that are bad: {bad}");
        }
        for case in &cases {
            let report = report(case, 2);
            let shown = anomalies(&report);
            let shows = report.anomalies().any(|anomaly| anomaly.name == *name);
            if case.bad != shows || (!case.bad && !shown.is_empty()) {
                wrong.push(format!("{name}: bad: {}: {}: {shown:#?}", case.bad, case.sentence));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_of_histories_belongs_to_an_anomaly_and_sentences_are_told_once() {
    let folder = Path::new("tests/histories/queue");
    for file in fs::read_dir(folder).expect("the folder of histories") {
        let path = file.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        assert!(QUEUE_ANOMALIES.contains(&name.as_str()), "{name} is no anomaly of queues");
        let text = fs::read_to_string(&path).expect("a file");
        let mut sentences = BTreeSet::new();
        for case in cases(&text) {
            assert!(sentences.insert(case.sentence.clone()), "{name} says twice: {}", case.sentence);
        }
    }
}

#[test]
fn a_history_is_judged_alike_by_one_worker_and_by_many() {
    for name in QUEUE_ANOMALIES {
        let path = PathBuf::from(format!("tests/histories/queue/{name}.txt"));
        let text = fs::read_to_string(&path).expect("a file");
        for case in cases(&text) {
            assert_eq!(report(&case, 1), report(&case, 5), "{name}: {}", case.sentence);
        }
    }
}
