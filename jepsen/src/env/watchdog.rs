//! A process that outlives the harness: when the harness dies, it ends the nodes and takes mounts and namespaces down.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use super::ledger;

/// The hidden verb.
const VERB: &str = "watchdog";
const BINARY: &str = "weir-jepsen";

/// Does the watchdog's work if that is what this process was started for; `main` asks first of all.
pub fn serve_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != VERB {
        return None;
    }
    let problems = ledger::guard(Path::new(&arguments.next()?));
    Some(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts one for a ledger, in a process group of its own: what ends the harness by the keyboard must not end it. None
/// when the harness's binary is not found, as in tests of the library alone; leftovers then wait for the next start.
pub(crate) fn start(ledger: &Path) -> Option<Child> {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(binary()?);
    command.arg(VERB).arg(ledger).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().ok()
}

/// The harness's binary: this process's own, or, in a test, the one that was built beside it.
fn binary() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    if own.file_stem()? == BINARY {
        return Some(own);
    }
    own.ancestors().skip(1).take(2).map(|folder| folder.join(BINARY)).find(|path| path.is_file())
}
