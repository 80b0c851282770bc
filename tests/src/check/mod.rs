//! The properties of the product's contract, each a fold over a history. Those that are named here by number hold for
//! every history, whatever fails, as long as the disks keep what was synced.
//!
//! | property | file |
//! |---|---|
//! | P1 an acknowledged append or enqueue is never lost | `acknowledged_is_kept.rs` |
//! | P2 a message is never delivered again after an acknowledged ack | `acked_is_gone.rs` |
//! | P3 at most one live lease per message | `one_live_lease.rs` |
//! | P6 a superseded settle never succeeds | `superseded_settle_fails.rs` |
//! | P10 what was sent once is appended once, and not at all when it was refused | `appended_once.rs` |
//! | P13 one offset, one record, for every reader; no gap | `offsets_are_stable.rs` |
//! | P14 a committed group offset never goes back | `commits_never_go_back.rs` |

mod acked_is_gone;
mod acknowledged_is_kept;
mod appended_once;
mod commits_never_go_back;
mod offsets_are_stable;
mod one_live_lease;
mod superseded_settle_fails;
#[cfg(test)]
mod written;

use std::fmt::Write as _;

use crate::{History, Op, Span};

/// Most violations of one property that are printed.
const SHOWN: usize = 10;

/// One property.
pub trait Check {
    /// Its number and sentence.
    fn property(&self) -> &'static str;
    /// Takes note of the next operation.
    fn observe(&mut self, span: Span, op: &Op);
    /// What violates the property, in words.
    fn violations(&self) -> Vec<String>;
}

/// All of them.
pub fn all() -> Vec<Box<dyn Check>> {
    vec![
        Box::new(acknowledged_is_kept::AcknowledgedIsKept::default()),
        Box::new(acked_is_gone::AckedIsGone::default()),
        Box::new(one_live_lease::OneLiveLease::default()),
        Box::new(superseded_settle_fails::SupersededSettleFails::default()),
        Box::new(appended_once::AppendedOnce::default()),
        Box::new(offsets_are_stable::OffsetsAreStable::default()),
        Box::new(commits_never_go_back::CommitsNeverGoBack::default()),
    ]
}

/// Checks a whole history.
///
/// # Panics
/// When a property is violated, with every violation up to a bound.
pub fn assert_all_hold(history: &History) {
    let mut checks = all();
    history.each(|span, op| checks.iter_mut().for_each(|check| check.observe(span, op)));
    let mut report = String::new();
    for check in checks {
        let violations = check.violations();
        if violations.is_empty() {
            continue;
        }
        let _ = write!(report, "\n{}: violated {} times", check.property(), violations.len());
        for violation in violations.iter().take(SHOWN) {
            let _ = write!(report, "\n  {violation}");
        }
    }
    assert!(report.is_empty(), "{report}");
}
