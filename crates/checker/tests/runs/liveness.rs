//! Runs that are not live, and runs that are: at least three of each for every anomaly.

use super::story::Story;
use weir_checker::FaultPhase::{Begin, End, Once};
use weir_checker::{LIVENESS_ANOMALIES, Options, Phase, Report, judge};

/// Name, whether it is bad, and the run.
type Case = (&'static str, bool, Story);

const SECOND: u64 = 1_000;

fn report(story: &Story, options: &Options) -> Report {
    judge(story.clone().told().into_iter().map(Ok), options, 2).expect("nothing is read")
}

fn options() -> Options {
    let mut options = Options::default();
    options.liveness.request_deadline = Some(2_000_000);
    options
}

/// Load for ten seconds, faults for thirty, all of it on partition 0.
fn until_the_heal() -> Story {
    Story::default()
        .phase(0, Phase::Warm)
        .load((0, 10 * SECOND), 20, 10, 0)
        .phase(10 * SECOND, Phase::Main)
        .fault(12 * SECOND, ("kill", 1), Begin, false)
        .fault(20 * SECOND, ("kill", 1), End, false)
        .load((25 * SECOND, 40 * SECOND), 20, 10, 0)
        .phase(40 * SECOND, Phase::Healed)
}

/// Whole runs without the anomaly of a heal.
fn heals() -> Vec<Case> {
    let heal = until_the_heal;
    vec![
        ("unavailable-after-heal", true, heal().unread(40_100, 41_000, 0).load((47_000, 60_000), 20, 10, 0)),
        ("unavailable-after-heal", true, heal().append(39_000, 46_000, 0)),
        ("unavailable-after-heal", true, heal().unread(41_000, 42_000, 0).unread(52_000, 53_000, 0)),
        ("unavailable-after-heal", false, heal().load((40_100, 60_000), 20, 10, 0)),
        ("unavailable-after-heal", false, heal().unread(40_100, 41_000, 0).load((43_000, 60_000), 20, 10, 0)),
        // Nobody asked.
        ("unavailable-after-heal", false, heal().load((55_000, 80_000), 20, 10, 0)),
        ("stuck", true, heal().unread(40_100, 41_000, 0).append(101_000, 101_500, 0)),
        ("stuck", true, heal().append(40_100, 141_000, 0)),
        ("stuck", true, heal().unread(40_100, 41_000, 0).unread(110_000, 111_000, 0)),
        ("stuck", false, heal().load((40_100, 60_000), 20, 10, 0).append(200_000, 200_010, 0)),
        ("stuck", false, heal().append(140_000, 140_010, 0)),
        ("stuck", false, heal().unread(40_100, 41_000, 0).append(43_000, 43_010, 0)),
        ("slow-after-heal", true, heal().load((40_000, 80_000), 20, 200, 0)),
        (
            "slow-after-heal",
            true,
            heal().load((40_000, 60_000), 20, 200, 0).load((60_000, 80_000), 20, 10, 0),
        ),
        (
            "slow-after-heal",
            true,
            heal().load((40_000, 80_000), 20, 10, 0).load((40_000, 80_000), 500, 1_000, 1),
        ),
        ("slow-after-heal", false, heal().load((40_000, 80_000), 20, 15, 0)),
        (
            "slow-after-heal",
            false,
            heal().load((40_000, 50_000), 20, 200, 0).load((50_000, 80_000), 20, 10, 0),
        ),
        ("slow-after-heal", false, heal().load((40_000, 80_000), 20, 45, 0)),
    ]
}

fn silences() -> Vec<Case> {
    let main = || {
        Story::default()
            .phase(0, Phase::Warm)
            .load((0, 10 * SECOND), 20, 10, 0)
            .phase(10 * SECOND, Phase::Main)
    };
    let killed = |majority| main().fault(12_000, ("kill", 1), Begin, majority).append(11_000, 11_010, 0);
    let cut = |kind| killed(true).fault(13_000, (kind, 2), Begin, true).unread(14_000, 15_000, 0);
    vec![
        ("silent-majority", true, killed(true).unread(12_100, 13_000, 0).append(24_000, 24_010, 0)),
        ("silent-majority", true, killed(true).append(12_100, 24_000, 0)),
        // A failed send does not say where it went to.
        ("silent-majority", true, killed(true).unanswered(12_100).append(30_000, 30_010, 0)),
        (
            "silent-majority",
            true,
            killed(false)
                .fault(20_000, ("kill", 1), End, false)
                .unread(20_100, 21_000, 0)
                .append(40_000, 40_010, 0),
        ),
        ("silent-majority", false, killed(true).unread(12_100, 13_000, 0).append(20_000, 20_010, 0)),
        ("silent-majority", false, killed(false).unread(12_100, 13_000, 0).append(40_000, 40_010, 0)),
        ("silent-majority", false, killed(true).append(40_000, 40_010, 0)),
        // Whoever failed at a partition that was sealed goes on elsewhere.
        (
            "silent-majority",
            false,
            killed(true)
                .unread(12_100, 13_000, 0)
                .split(14_000)
                .append(15_000, 15_010, 8)
                .append(24_000, 24_010, 8),
        ),
        ("silent-majority", false, cut("client-cut").append(40_000, 40_010, 0)),
        ("silent-majority", true, cut("pause").append(40_000, 40_010, 0)),
    ]
}

fn drains() -> Vec<Case> {
    let drain = |story: Story| story.phase(50_000, Phase::Drain);
    let stream = || drain(until_the_heal().load((40_000, 50_000), 20, 10, 0));
    let queue = || drain(until_the_heal().enqueue(41_000, 41_010, (0, 1)).enqueue(41_000, 41_010, (0, 2)));
    let got = |story: Story, id| story.receive(51_000, 51_010, 1, Some((0, id))).ack(51_020, 51_030, (0, id));
    vec![
        ("undrained", true, stream().read(51_000, 51_500, 0, 100).phase(120_000, Phase::End)),
        ("undrained", true, got(queue(), 1).phase(120_000, Phase::End)),
        ("undrained", true, got(queue(), 1).phase(120_000, Phase::End).holds(121_000, &[2])),
        ("undrained", true, stream().read_all(115_000, 115_500, 0).phase(120_000, Phase::End)),
        ("undrained", false, stream().read_all(51_000, 51_500, 0).phase(120_000, Phase::End)),
        ("undrained", false, got(got(queue(), 1), 2).phase(120_000, Phase::End)),
        ("undrained", false, got(queue(), 1).phase(120_000, Phase::End).holds(121_000, &[])),
        // Nobody reads this stream.
        ("undrained", false, stream().phase(120_000, Phase::End)),
    ]
}

fn queues() -> Vec<Case> {
    let sent = |id| {
        Story::default().enqueue(0, 10, (0, 0)).receive(20, 30, 1, Some((0, 0))).enqueue(
            1_000,
            1_010,
            (0, id),
        )
    };
    let idle = |story: Story, consumer| story.receive(2_000, 3_000, consumer, None);
    // Another partition: one receive says nothing of both.
    let two = || sent(1).enqueue(0, 10, (1, 0)).receive(11, 20, 2, Some((1, 0)));
    let late = |story: Story| story.receive(8_000, 8_010, 1, Some((0, 1)));
    vec![
        ("starvation", true, late(idle(two(), 1))),
        ("starvation", true, idle(two(), 1).receive(40_000, 40_010, 1, Some((0, 1)))),
        ("starvation", true, late(two().receive(1_100, 2_000, 1, None).receive(6_000, 7_000, 1, None))),
        ("starvation", false, two().receive(2_000, 3_000, 1, Some((0, 1)))),
        // The idle one is of the other partition.
        ("starvation", false, late(idle(two(), 2))),
        ("starvation", false, late(two())),
        ("starvation", false, late(idle(two().fault(500, ("kill", 1), Begin, true), 1))),
        ("false-empty", true, idle(sent(1), 1).receive(4_000, 4_010, 1, Some((0, 1)))),
        ("false-empty", true, idle(sent(1), 2).receive(4_000, 4_010, 1, Some((0, 1)))),
        ("false-empty", true, sent(1).receive(1_020, 1_030, 1, None).receive(1_040, 1_050, 1, Some((0, 1)))),
        ("false-empty", false, sent(1).receive(500, 1_020, 1, None).receive(1_040, 1_050, 1, Some((0, 1)))),
        ("false-empty", false, sent(1).receive(1_040, 1_050, 1, Some((0, 1))).receive(2_000, 3_000, 1, None)),
        ("false-empty", false, idle(two(), 1).receive(4_000, 4_010, 1, Some((0, 1)))),
    ]
}

fn calls() -> Vec<Case> {
    vec![
        ("hung-call", true, Story::default().append(0, 3_001, 0)),
        ("hung-call", true, Story::default().unread(0, 9_000, 0)),
        ("hung-call", true, Story::default().append(0, 10, 0).receive(20, 60_000, 1, None)),
        ("hung-call", false, Story::default().append(0, 3_000, 0)),
        ("hung-call", false, Story::default().unread(0, 2_500, 0)),
        ("hung-call", false, Story::default().unanswered(0).append(60_000, 60_010, 0)),
    ]
}

fn replicas() -> Vec<Case> {
    let healed = || until_the_heal().load((40_000, 50_000), 20, 10, 0).read_all(50_000, 50_500, 0);
    let round = |story: Story, at, applied: [u64; 3]| {
        let nodes = ["n1", "n2", "n3"].iter().zip(applied);
        nodes.fold(story, |story, (node, applied)| story.replica(at, node, applied))
    };
    vec![
        ("not-converged", true, round(round(healed(), 60_000, [9, 9, 7]), 90_000, [9, 9, 7])),
        ("not-converged", true, round(healed(), 90_000, [9, 8, 9])),
        // One tells nothing any more.
        (
            "not-converged",
            true,
            round(healed(), 51_000, [9, 9, 7])
                .replica(84_000, "n1", 9)
                .replica(85_000, "n1", 9)
                .replica(86_000, "n1", 9),
        ),
        ("not-converged", false, round(round(healed(), 51_000, [9, 9, 7]), 60_000, [9, 9, 9])),
        ("not-converged", false, round(healed(), 90_000, [9, 9, 9])),
        ("not-converged", false, round(round(healed(), 60_000, [9, 9, 9]), 90_000, [9, 9, 10])),
    ]
}

fn leaders() -> Vec<Case> {
    let story = Story::default;
    // A term every so many milliseconds for half a minute, under a one-way partition.
    let storm = |kind: &'static str, every: usize| {
        let terms = (1_000..31_000).step_by(every).enumerate();
        let begun = story().leader(0, 1, "n1").fault(1_000, (kind, 1), Begin, true);
        let stormy = terms.fold(begun, |story, (term, at)| story.leader(at, term as u64 + 2, "n2"));
        stormy.fault(31_000, (kind, 1), End, true)
    };
    vec![
        ("two-leaders", true, story().leader(0, 3, "n1").leader(10, 3, "n2")),
        ("two-leaders", true, story().leader(0, 3, "n1").leader(10, 4, "n2").leader(20, 3, "n3")),
        ("two-leaders", true, story().leader(0, 3, "n1").leader(5_000, 3, "n1").leader(9_000, 3, "n2")),
        ("two-leaders", false, story().leader(0, 3, "n1").leader(10, 4, "n2")),
        ("two-leaders", false, story().leader(0, 3, "n1").leader(10, 3, "n1")),
        ("two-leaders", false, story().leader(0, 3, "n1").leader(10, 4, "n2").leader(20, 5, "n1")),
        ("election-storm", true, storm("one-way", 1_000)),
        ("election-storm", true, storm("one-way", 3_000)),
        ("election-storm", true, storm("one-way", 100)),
        ("election-storm", false, storm("one-way", 10_000)),
        ("election-storm", false, storm("kill", 1_000)),
        ("election-storm", false, story().leader(0, 1, "n1").fault(1_000, ("one-way", 1), Once, true)),
    ]
}

fn cases() -> Vec<Case> {
    [heals(), silences(), drains(), queues(), calls(), replicas(), leaders()].concat()
}

#[test]
fn bad_runs_show_their_anomaly_and_clean_ones_do_not() {
    let mut wrong = Vec::new();
    for (place, (name, bad, story)) in cases().iter().enumerate() {
        let report = report(story, &options());
        let shown: Vec<_> = report.anomalies().filter(|anomaly| anomaly.check.starts_with('L')).collect();
        if shown.iter().any(|anomaly| anomaly.name == *name) != *bad {
            wrong.push(format!("case {place}: {name}: bad: {bad}, shown {shown:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_anomaly_has_three_runs_of_each_kind() {
    let cases = cases();
    for (_, name) in LIVENESS_ANOMALIES {
        for kind in [true, false] {
            let count = cases.iter().filter(|(other, bad, _)| other == name && *bad == kind).count();
            assert!(count >= 3, "{name} has {count} runs that are bad: {kind}");
        }
    }
    assert!(cases.iter().all(|(name, ..)| LIVENESS_ANOMALIES.iter().any(|(_, known)| known == name)));
}

#[test]
fn a_whole_run_in_which_all_goes_well_is_valid_in_every_check_of_liveness() {
    let story = until_the_heal()
        .phase(40_001, Phase::Recovery)
        .load((40_010, 60_000), 20, 10, 0)
        .phase(60_020, Phase::Drain)
        .read_all(60_100, 60_500, 0)
        .phase(61_000, Phase::End)
        .replica(61_100, "n1", 9)
        .replica(61_100, "n2", 9)
        .replica(61_100, "n3", 9);
    for checked in report(&story, &options()).checks {
        let bad = !checked.findings.anomalies.is_empty() || !checked.findings.unknown.is_empty();
        assert!(!bad || !checked.name.starts_with('L'), "{checked:#?}");
    }
}

#[test]
fn a_message_that_may_have_expired_waits_for_nobody() {
    let (_, _, starved) =
        queues().into_iter().find(|(name, bad, _)| *name == "starvation" && *bad).expect("one");
    let mut options = options();
    options.queue.ttl = Some(1_500_000);
    let report = report(&starved, &options);
    assert!(report.anomalies().all(|found| found.name != "starvation"), "{report:?}");
}

#[test]
fn what_is_not_seen_to_its_end_is_unknown() {
    let short = until_the_heal().load((40_000, 43_000), 20, 400, 0).phase(43_500, Phase::Drain);
    let short = short
        .read(43_600, 43_700, 0, 3)
        .phase(44_000, Phase::End)
        .replica(44_100, "n1", 9)
        .replica(44_100, "n2", 8);
    let report = report(&short, &options());
    for name in ["L1 available-after-heal", "L2 drain", "L6 converge"] {
        let checked = report.checks.iter().find(|checked| checked.name == name).expect("the check");
        assert!(!checked.findings.unknown.is_empty(), "{name} is sure: {checked:#?}");
        assert!(checked.findings.anomalies.is_empty(), "{checked:#?}");
    }
}
