//! The simulation: a seed repeats its run to the letter, and no promise is broken while nodes crash, links fail and disks
//! lie. Short runs, of a build with all its assertions; `scripts/sim` does many long ones.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::{Command, Output};

/// Seeds with different options and faults; partitions are split and merged in the last one.
const SEEDS: [u64; 3] = [3, 8, 10];
/// Seconds of virtual time with load and faults.
const LOAD_S: &str = "15";
/// Seconds of real time for one run.
const PATIENCE_S: &str = "600";

fn simulate(arguments: &[&str]) -> Output {
    // A run whose virtual time stands still would never end by itself.
    let bounded = [&[PATIENCE_S, env!("CARGO_BIN_EXE_sim")], arguments].concat();
    Command::new("timeout").args(bounded).output().unwrap()
}

fn trace_of(seed: u64) -> Output {
    simulate(&["--seed", &seed.to_string(), "--load-s", LOAD_S, "--trace"])
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn assert_ok(what: &str, output: &Output) {
    let trace = text(output);
    let end: Vec<&str> = trace.lines().rev().take(12).collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {end:#?}\n{errors}");
}

fn assert_holds(scenario: &str) {
    assert_ok(scenario, &simulate(&["--seed", "1", "--scenario", scenario]));
}

/// The first line in which two traces differ, with what came before it.
fn first_difference(one: &str, other: &str) -> String {
    let same = one.lines().zip(other.lines()).take_while(|(a, b)| a == b).count();
    let shown = |text: &str| text.lines().skip(same.saturating_sub(5)).take(8).collect::<Vec<_>>().join("\n");
    format!("line {same}:\n{}\n--- or ---\n{}", shown(one), shown(other))
}

#[test]
fn one_seed_gives_equal_traces_twice() {
    let mut hashes = std::collections::BTreeSet::new();
    for seed in SEEDS {
        let output = trace_of(seed);
        let (one, other) = (text(&output), text(&trace_of(seed)));
        assert!(one == other, "seed {seed} gave two traces: {}", first_difference(&one, &other));
        hashes.insert(one.lines().find(|line| line.starts_with("trace:")).unwrap().to_owned());
        assert_ok(&format!("seed {seed}"), &output);
        for wanted in [
            "FAULT",
            "Enqueue {",
            "Append {",
            "Receive {",
            "Settle {",
            "Poll {",
            ", and serves",
            "everything has healed",
        ] {
            assert!(one.contains(wanted), "no line of seed {seed} with `{wanted}`");
        }
    }
    assert_eq!(hashes.len(), SEEDS.len(), "different seeds give different runs: {hashes:?}");
}

#[test]
fn one_witness_that_does_not_hear_the_leader_deposes_nobody() {
    assert_holds("control-lane-to-one");
}

#[test]
fn a_leader_whose_messages_were_held_serves_nothing_stale_afterwards() {
    assert_holds("old-leader-wakes");
}

#[test]
fn a_follower_that_was_left_behind_does_not_win() {
    assert_holds("shorter-log");
}

#[test]
fn a_node_that_comes_back_with_an_empty_disk_gets_its_copies_back() {
    assert_holds("wiped-disk");
}

#[test]
fn a_leader_that_is_heard_but_replicates_nothing_is_replaced() {
    assert_holds("data-lanes-of-the-leader");
}

#[test]
fn two_survivors_without_control_lanes_elect_at_once() {
    assert_holds("survivors-without-control-lanes");
}

#[test]
fn partitions_are_split_and_merged_while_leaders_fail() {
    assert_holds("splits-and-merges");
}

#[test]
fn replicas_move_and_nodes_are_drained_while_others_fail() {
    assert_holds("replicas-on-the-move");
}
