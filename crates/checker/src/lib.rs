//! Judges what clients saw: a [`History`](Event) of operations goes in, a [`Verdict`] with its anomalies comes out.
//!
//! ```text
//!  clients ──► one Event per finished operation ──► history.jsonl ──► checks (one file each) ──► Report
//!  nemesis ──► Fault, Phase, Leader, Digest  ──────┘                     shards by topic and partition
//! ```
//!
//! Nothing here knows Weir's crates: the checker judges by the contract alone, so that a mistake of the product cannot
//! hide in it. All times are microseconds on the one monotonic clock of whoever wrote the history.

#![forbid(unsafe_code)]

pub mod checks;
mod event;
mod groups;
mod harness;
mod jsonl;
mod liveness;
mod options;
mod queue;
mod report;
mod runner;
mod stream;
mod verdict;

pub use event::{
    Consumer, Delivery, Digested, Event, Fault, FaultPhase, How, Lost, MessageId, MessageState, Micros,
    NotAPair, Op, Outcome, ParkedMessage, Phase, Process, Terms, Value,
};
pub use groups::{ANOMALIES as GROUP_ANOMALIES, GroupOptions};
pub use harness::{ANOMALIES as HARNESS_ANOMALIES, CoverageOptions};
pub use jsonl::{ReadError, Reader, Writer};
pub use liveness::{ANOMALIES as LIVENESS_ANOMALIES, LivenessOptions};
pub use options::{Options, QueueOptions};
pub use queue::ANOMALIES as QUEUE_ANOMALIES;
pub use report::{ANOMALIES_LISTED_MAX, Checked, Figures, Report};
pub use runner::judge;
pub use stream::{ANOMALIES as STREAM_ANOMALIES, StreamOptions};
pub use verdict::{Anomaly, Check, Findings, Verdict};
