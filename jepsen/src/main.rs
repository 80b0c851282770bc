//! `weir-jepsen`: fault-injection runs against real nodes. See `docs/FAULTS.md`.

use std::process::ExitCode;

use clap::Parser as _;
use weir_jepsen::cli::{Cli, perform};
use weir_jepsen::env::watchdog;

fn main() -> ExitCode {
    watchdog::serve_if_asked().unwrap_or_else(|| perform(Cli::parse()))
}
