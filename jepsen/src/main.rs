//! `weir-jepsen`: fault-injection runs against real nodes. See `docs/FAULTS.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::SUCCESS
}
