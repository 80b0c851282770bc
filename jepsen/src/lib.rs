//! The fault-injection harness: real nodes, real faults, a history of what clients saw, and a verdict on it.
//!
//! ```text
//!  cli ─► schedule(seed) ─► nemesis ──────────► faults ──┐     nodes, each in a network namespace, on a disk of its own
//!   └───► workload(seed) ─► raw clients ──────► calls ───┼──►  weir n1 … n5
//!                             │ history.jsonl ◄──────────┘
//!                             └──► weir-checker ─► results.json, report.html
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | one file per verb |
//! | [`run`] | the parts of a run, in order; [`schedule`]: what is to happen when; [`tier`]: the matrix |
//! | [`workload`] | what clients do; [`wire`]: the client without retries; [`history`]: what is written down |
//! | [`mod@env`] | nodes: processes, namespaces, the link emulator, disks |
//! | [`nemesis`] | one file per family of faults |
//! | [`doctor`] | which faults this host can make |
//! | [`report`] | the page of a run |
//! | [`export`] | a history in Jepsen's own format |
//!
//! What it deliberately is not: a judge. What a history means is said by `weir-checker`, which knows none of Weir's
//! crates.

#![expect(clippy::disallowed_types, reason = "the harness stands outside: real time is what it measures")]

pub mod cli;
pub mod dice;
pub mod doctor;
pub mod env;
pub mod export;
pub mod history;
pub mod nemesis;
pub mod report;
pub mod run;
pub mod schedule;
pub mod tier;
pub mod wire;
pub mod workload;
