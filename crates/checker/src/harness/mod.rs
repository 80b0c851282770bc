//! Whether a run proves anything: what the nemesis hit, and what the harness saw.
//!
//! | check | finding | what is wrong | verdict | file |
//! |---|---|---|---|---|
//! | C1 | `too-few-faults` | a requested kind of fault was installed too seldom | unknown | `coverage.rs` |
//! | C1 | `no-leader-hit`, `no-follower-hit` | it never met a leader, or a follower | unknown | `coverage.rs` |
//! | C1 | `too-few-ok` | too small a share of the operations succeeded | unknown | `coverage.rs` |
//! | C1 | `too-few-ok-in-faults` | too few of them while faults were at work; where each took a majority away, between the first and the heal | unknown | `coverage.rs` |
//! | C2 | `stall` | the harness itself did not run for a while | unknown | `machinery.rs` |
//! | C2 | `lost-task` | a task of the harness failed | unknown | `machinery.rs` |
//! | C3 | `node-panic` | a node panicked, ended when nobody had asked it to, or went on when it had to end | invalid | `machinery.rs` |

mod coverage;
mod machinery;
mod options;

pub use options::CoverageOptions;

use crate::Options;
use crate::checks::Fold;

/// What these checks can find, each in a check.
pub const ANOMALIES: &[(&str, &str)] = &[
    ("C1", "too-few-faults"),
    ("C1", "no-leader-hit"),
    ("C1", "no-follower-hit"),
    ("C1", "too-few-ok"),
    ("C1", "too-few-ok-in-faults"),
    ("C2", "stall"),
    ("C2", "lost-task"),
    ("C3", "node-panic"),
];

/// All of these checks.
pub(crate) fn whole(options: &Options) -> Vec<Box<dyn Fold>> {
    vec![
        Box::new(coverage::Coverage::new(&options.coverage)),
        Box::new(machinery::Machinery::new(options.coverage.stall_max)),
        Box::new(machinery::Panics::default()),
    ]
}
