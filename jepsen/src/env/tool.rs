//! Programs of the system: `ip`, `mount` and the like.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::error::{Error, Result, Tried as _};

/// Runs a program to its end and returns what it printed.
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let output = command.output().tried(|| program.to_owned())?;
    finished(&command, &output)
}

/// As [`run`], with a text on its standard input.
pub(crate) fn run_with_input(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().tried(|| program.to_owned())?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes()).tried(|| program.to_owned())?;
    }
    let output = child.wait_with_output().tried(|| program.to_owned())?;
    finished(&command, &output)
}

fn finished(command: &Command, output: &std::process::Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let command = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    let printed = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let output = format!("{} ({})", printed.concat().trim(), output.status);
    Err(Error::Command { command, output })
}
