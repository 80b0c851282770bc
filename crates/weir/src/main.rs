//! `weir`: the one binary. A node (`weir server`), a throw-away cluster (`weir dev`), and the operator's commands.
//!
//! | module | holds |
//! |---|---|
//! | [`backup`] | backups on disk: what lies where, and what is copied in which order |
//! | [`cli`] | one file per group of commands: its arguments, and what it asks the client library to do |
//! | [`output`] | tables for people, JSON for programs |
//! | [`failure`] | what a failed command prints, and with which code it exits |
//! | [`demo`] | the main job with a node killed midway: what `scripts/quickstart` runs |
//!
//! What this crate is not: a place for logic about messages. Commands parse, call `weir-client` and print.

#![forbid(unsafe_code)]

mod backup;
mod cli;
mod demo;
mod failure;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    #[cfg(feature = "mutants")]
    match weir_types::mutants::arm_named() {
        Ok(None) => eprintln!("weir: THIS BUILD CARRIES PLANTED BUGS; none of them is armed"),
        Ok(Some(planted)) => eprintln!("weir: PLANTED BUG {} IS ARMED: {}", planted.name, planted.what),
        Err(refused) => {
            eprintln!("weir: {refused}");
            return ExitCode::from(2);
        }
    }
    cli::run(cli::Cli::parse())
}
