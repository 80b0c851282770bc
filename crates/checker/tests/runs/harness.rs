//! Runs that prove nothing, and runs that do: at least three of each for every finding.

use super::story::Story;
use weir_checker::FaultPhase::{Begin, End, Once};
use weir_checker::{HARNESS_ANOMALIES, Lost, Options, Report, judge};

/// Name, whether it is bad, and the run.
type Case = (&'static str, bool, Story);

fn report(story: &Story, faults: &[&str]) -> Report {
    let mut options = Options::default();
    options.coverage.faults = faults.iter().map(|kind| (*kind).to_owned()).collect();
    judge(story.clone().told().into_iter().map(Ok), &options, 2).expect("nothing is read")
}

/// Everything that these checks said, in words.
fn said(report: &Report) -> Vec<String> {
    let ours = report.checks.iter().filter(|checked| checked.name.starts_with('C'));
    ours.flat_map(|checked| {
        let anomalies = checked.findings.anomalies.iter().map(|anomaly| anomaly.name.clone());
        anomalies.chain(checked.findings.unknown.iter().cloned()).collect::<Vec<_>>()
    })
    .collect()
}

/// Kills, each of a second with load, of nodes that lead and follow so much.
fn kills(on: &[(u32, u32)]) -> Story {
    let numbered = (0_u64..).zip(on);
    numbered.fold(Story::default(), |story, (id, on)| {
        let begin = 10_000 + id * 2_000;
        story.fault_on(begin, ("kill", id, Begin), true, *on).load((begin, begin + 1_000), 10, 2, 0).fault_on(
            begin + 1_100,
            ("kill", id, End),
            true,
            *on,
        )
    })
}

fn enough() -> Story {
    kills(&[(1, 0), (0, 1), (1, 1)])
}

fn faults() -> Vec<Case> {
    vec![
        ("too-few-faults", true, Story::default().load((0, 2_000), 10, 2, 0)),
        ("too-few-faults", true, kills(&[(1, 1), (1, 1)])),
        (
            "too-few-faults",
            true,
            enough().fault(90_000, ("pause", 9), Begin, true).fault(91_000, ("pause", 9), End, true),
        ),
        ("too-few-faults", false, enough()),
        ("too-few-faults", false, kills(&[(1, 1), (1, 1), (1, 1), (1, 1)])),
        ("too-few-faults", false, kills(&[(1, 1), (1, 1)]).fault(90_000, ("kill", 9), Once, true)),
        ("no-leader-hit", true, kills(&[(0, 1), (0, 1), (0, 1)])),
        ("no-leader-hit", true, kills(&[(0, 1)])),
        ("no-leader-hit", true, kills(&[(0, 2), (0, 0), (0, 1), (0, 1)])),
        ("no-leader-hit", false, enough()),
        ("no-leader-hit", false, kills(&[(0, 1), (0, 1), (2, 1)])),
        ("no-leader-hit", false, kills(&[(1, 1)])),
        ("no-follower-hit", true, kills(&[(1, 0), (1, 0), (1, 0)])),
        ("no-follower-hit", true, kills(&[(3, 0)])),
        ("no-follower-hit", true, kills(&[(1, 0), (0, 0), (2, 0), (1, 0)])),
        ("no-follower-hit", false, enough()),
        ("no-follower-hit", false, kills(&[(1, 0), (1, 0), (1, 1)])),
        ("no-follower-hit", false, kills(&[(1, 1)])),
    ]
}

fn load() -> Vec<Case> {
    let failing =
        |story: Story, count: u64| (0..count).fold(story, |story, at| story.unread(at * 10, at * 10 + 5, 0));
    let idle = |from: u64, to: u64| Story::default().load((from, to), 10, 2, 0);
    let quick = |story: Story| {
        (0_u64..3).fold(story, |story, id| {
            let at = 50_000 + id * 100;
            story.fault(at, ("kill", id), Begin, true).fault(at + 50, ("kill", id), End, true)
        })
    };
    // Nobody answers during such a fault.
    let all_down = |story: Story| {
        (0_u64..3).fold(story, |story, id| {
            let at = 50_000 + id * 1_000;
            story.fault(at, ("kill", id), Begin, false).fault(at + 500, ("kill", id), End, true)
        })
    };
    vec![
        ("too-few-ok", true, failing(enough(), 400)),
        ("too-few-ok", true, Story::default()),
        ("too-few-ok", true, failing(Story::default(), 1)),
        ("too-few-ok", false, enough()),
        ("too-few-ok", false, failing(enough(), 190)),
        ("too-few-ok", false, failing(idle(0, 1_000), 10)),
        ("too-few-ok-in-faults", true, quick(idle(0, 10_000))),
        ("too-few-ok-in-faults", true, quick(Story::default())),
        ("too-few-ok-in-faults", true, quick(idle(50_000, 50_300))),
        ("too-few-ok-in-faults", false, enough()),
        ("too-few-ok-in-faults", false, kills(&[(1, 1)])),
        ("too-few-ok-in-faults", false, kills(&[(1, 1), (1, 1), (1, 1), (1, 1)])),
        ("too-few-ok-in-faults", true, all_down(idle(0, 49_000))),
        ("too-few-ok-in-faults", false, all_down(Story::default()).load((50_600, 53_000), 10, 2, 0)),
    ]
}

fn machinery() -> Vec<Case> {
    let panic = |node: &str| Lost::Node { node: node.to_owned(), line: "panicked at lib.rs:1".to_owned() };
    let task = |text: &str| Lost::Task(text.to_owned());
    vec![
        ("stall", true, enough().lost(20_000, Lost::Stall(200_001))),
        ("stall", true, enough().lost(20_000, Lost::Stall(5_000_000))),
        ("stall", true, enough().lost(1, Lost::Stall(10)).lost(2, Lost::Stall(900_000))),
        ("stall", false, enough()),
        ("stall", false, enough().lost(20_000, Lost::Stall(200_000))),
        ("stall", false, enough().lost(20_000, task("the writer"))),
        ("lost-task", true, enough().lost(20_000, task("the writer"))),
        ("lost-task", true, Story::default().lost(0, task("fault kill: no such process"))),
        ("lost-task", true, enough().lost(20_000, task("one")).lost(20_001, task("two"))),
        ("lost-task", false, enough()),
        ("lost-task", false, enough().lost(20_000, Lost::Stall(900_000))),
        ("lost-task", false, enough().lost(20_000, panic("n1"))),
        ("node-panic", true, enough().lost(20_000, panic("n1"))),
        ("node-panic", true, Story::default().lost(0, panic("n3"))),
        ("node-panic", true, enough().lost(20_000, panic("n1")).lost(20_001, panic("n2"))),
        ("node-panic", false, enough()),
        ("node-panic", false, enough().lost(20_000, task("the writer"))),
        ("node-panic", false, enough().fault(90_000, ("kill", 9), Once, true)),
    ]
}

fn cases() -> Vec<Case> {
    [faults(), load(), machinery()].concat()
}

#[test]
fn bad_runs_are_found_out_and_good_ones_are_not() {
    for (place, (name, bad, story)) in cases().iter().enumerate() {
        let kinds: &[&str] = if place == 2 { &["kill", "pause"] } else { &["kill"] };
        let said = said(&report(story, kinds));
        let shown = said.iter().any(|text| text.split(':').next() == Some(name));
        assert_eq!(shown, *bad, "case {place}: {name}: {said:#?}");
    }
}

#[test]
fn every_finding_has_three_runs_of_each_kind() {
    let cases = cases();
    for (_, name) in HARNESS_ANOMALIES {
        for kind in [true, false] {
            let count = cases.iter().filter(|(other, bad, _)| other == name && *bad == kind).count();
            assert!(count >= 3, "{name} has {count} runs that are bad: {kind}");
        }
    }
    assert!(cases.iter().all(|(name, ..)| HARNESS_ANOMALIES.iter().any(|(_, known)| known == name)));
}

#[test]
fn faults_that_nobody_asked_for_are_not_missed() {
    let told = said(&report(&Story::default().load((0, 2_000), 10, 2, 0), &[]));
    assert!(told.is_empty(), "{told:#?}");
}
