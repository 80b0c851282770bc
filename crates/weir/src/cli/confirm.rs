//! A question before what cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _};

use crate::failure::{Failure, Outcome};

/// Has the name typed of what is to be destroyed: `what` is the verb. Without a terminal nobody can answer, and
/// `--yes` has to be said.
pub(super) fn confirm(what: &str, name: &str) -> Outcome {
    let input = io::stdin();
    if !input.is_terminal() {
        return Err(Failure::usage(format!("say --yes to {what} `{name}` and everything in it")));
    }
    eprint!("This would {what} `{name}` and everything in it. Type its name to go on: ");
    let mut typed = String::new();
    input.lock().read_line(&mut typed)?;
    if typed.trim() == name { Ok(()) } else { Err(Failure::usage("that is not its name; nothing was done")) }
}
