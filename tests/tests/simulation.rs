//! The simulation: a seed repeats its run to the letter, and no promise is broken while nodes crash and links fail.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::{Command, Output};

/// Seeds with different options and faults; each takes a few seconds.
const SEEDS: [u64; 2] = [2, 3];
/// Seconds of real time for one run.
const PATIENCE_S: &str = "600";

fn simulate(seed: u64) -> Output {
    let seed = seed.to_string();
    // A run whose virtual time stands still would never end by itself.
    let arguments = [PATIENCE_S, env!("CARGO_BIN_EXE_sim"), "--seed", &seed, "--trace"];
    Command::new("timeout").args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The first line in which two traces differ, with what came before it.
fn first_difference(one: &str, other: &str) -> String {
    let same = one.lines().zip(other.lines()).take_while(|(a, b)| a == b).count();
    let shown = |text: &str| text.lines().skip(same.saturating_sub(5)).take(8).collect::<Vec<_>>().join("\n");
    format!("line {same}:\n{}\n--- or ---\n{}", shown(one), shown(other))
}

#[test]
fn one_seed_gives_equal_traces_twice() {
    let mut traces = Vec::new();
    for seed in SEEDS {
        let (one, other) = (text(&simulate(seed)), text(&simulate(seed)));
        assert!(one == other, "seed {seed} gave two traces: {}", first_difference(&one, &other));
        traces.push(one);
    }
    let hash = |trace: &String| trace.lines().find(|line| line.starts_with("trace:")).unwrap().to_owned();
    let hashes: std::collections::BTreeSet<String> = traces.iter().map(hash).collect();
    assert_eq!(hashes.len(), SEEDS.len(), "different seeds give different runs: {hashes:?}");
}

#[test]
fn acknowledged_messages_survive_crashes_and_partitions() {
    for seed in [104, 106, 110] {
        let output = simulate(seed);
        let trace = text(&output);
        let end: Vec<&str> = trace.lines().rev().take(12).collect();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "seed {seed}: {end:#?}\n{errors}");
    }
}

#[test]
fn a_run_loads_the_cluster_and_breaks_something() {
    let trace = text(&simulate(SEEDS[0]));
    for wanted in
        ["FAULT", "Sent {", "Delivered {", "Settled {", "Read {", ", and serves", "everything has healed"]
    {
        assert!(trace.contains(wanted), "no line with `{wanted}`");
    }
}
