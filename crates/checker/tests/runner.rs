//! From a history to a report.

mod notation;

use std::fmt::Write as _;

use notation::history;
use weir_checker::{ANOMALIES_LISTED_MAX, Event, Options, ReadError, Reader, Report, Verdict, Writer, judge};

fn report(text: &str) -> Report {
    judge(history(text).into_iter().map(Ok), &Options::default(), 2).expect("nothing is read")
}

fn checked<'a>(report: &'a Report, number: &str) -> &'a weir_checker::Checked {
    let mut named = report.checks.iter().filter(|checked| checked.name.starts_with(number));
    named.next().unwrap_or_else(|| panic!("{number} is checked"))
}

fn queues_are(report: &Report, verdict: Verdict) -> bool {
    let queues = report.checks.iter().filter(|checked| checked.name.starts_with('Q'));
    queues.map(|checked| checked.findings.verdict()).max() == Some(verdict)
}

const GOOD: &str = "
    0-10 p1 enqueue 1-0 @0:7
    12-20 c1 receive 0:7=1-0#1/1+5000
    21-30 c1 ack 0:7#1
    40-40 phase end";

#[test]
fn a_history_is_written_and_read_as_it_was() {
    let events = history(&format!("{GOOD}\n41-41 reshaped 0 1 to 2"));
    let mut writer = Writer::new(Vec::new());
    for event in &events {
        writer.write(event).expect("memory takes everything");
    }
    let text = writer.into_inner();
    let read: Vec<Event> = Reader::new(&text[..]).map(|event| event.expect("it was written so")).collect();
    assert_eq!(read, events);
    assert!(queues_are(&report(GOOD), Verdict::Valid));
}

#[test]
fn a_line_that_is_no_event_is_named_and_nothing_is_judged() {
    let text =
        "{\"from\":1,\"process\":1,\"op\":{\"purge\":{\"topic\":\"q\"}},\"outcome\":\"info\"}\nnonsense\n";
    let error =
        judge(Reader::new(text.as_bytes()), &Options::default(), 3).expect_err("the second line is nonsense");
    assert!(matches!(error, ReadError::Line { line: 2, .. }), "{error}");
}

#[test]
fn evidence_names_the_lines_that_prove_it() {
    let report = report(
        "0-10 p1 enqueue 1-0 @0:7
         12-20 c1 receive 0:7=1-0#1/1
         21-30 c1 ack 0:7#1
         31-40 c2 receive 0:7=1-0#2/2
         50-50 phase end",
    );
    let anomaly = &checked(&report, "Q6").findings.anomalies[0];
    assert_eq!((anomaly.evidence.as_slice(), anomaly.at, anomaly.topic.as_str()), (&[2, 3][..], 40_000, "q"));
    assert_eq!(report.verdict, Verdict::Invalid);
}

#[test]
fn what_nobody_can_judge_is_unknown_and_never_valid() {
    let early = report("0-10 p1 enqueue 1-0 @0:7");
    assert_eq!(checked(&early, "Q1").findings.verdict(), Verdict::Unknown, "{early}");
    assert!(early.verdict >= Verdict::Unknown);
    // More settles without an answer than a search remembers.
    let mut text = GOOD.replace("40-40", "900-900");
    (0..70).for_each(|at| writeln!(text, "\n{}- c1 extend? 0:7#1 {at}", 100 + at).expect("a string grows"));
    let dense = report(&text);
    assert_eq!(checked(&dense, "Q0").findings.verdict(), Verdict::Unknown, "{dense}");
}

#[test]
fn very_many_anomalies_are_counted_and_the_first_are_listed() {
    let mut text = String::new();
    (0..3_000).for_each(|at| writeln!(text, "{at}-{at} p1 enqueue 1-{at} @0:{at}").expect("a string grows"));
    let report = report(&format!("{text}\n5000-5000 phase end"));
    let findings = &checked(&report, "Q1").findings;
    assert_eq!(
        (findings.anomalies.len(), findings.more),
        (ANOMALIES_LISTED_MAX, 3_000 - ANOMALIES_LISTED_MAX as u64)
    );
}

#[test]
fn a_report_is_a_table_for_people_and_json_for_the_rest() {
    let report = report(GOOD);
    let text = report.to_string();
    assert!(text.contains("Q6 redelivery-after-ack") && text.contains("4 lines"), "{text}");
    let json = serde_json::to_string(&report).expect("a report is JSON");
    assert_eq!(serde_json::from_str::<Report>(&json).expect("and back"), report);
}
