//! Judges what clients saw: a [`History`](Event) of operations goes in, a [`Verdict`] with its anomalies comes out.
//!
//! ```text
//!  clients ──► one Event per finished operation ──► history.jsonl ──► checks (one file each) ──► Report
//!  nemesis ──► Fault, Phase, Leader, Digest  ──────┘                     shards by topic and partition
//! ```
//!
//! | promise | held by |
//! |---|---|
//! | P1 an acknowledged append or enqueue is never lost | Q0, Q1, Q3, Q4, S2, S3 |
//! | P2 a message is never delivered again after an acknowledged ack | Q0, Q6 |
//! | P3 at most one live lease per message | Q0, Q7 |
//! | P4 per FIFO key no more are leased than allowed, and always a prefix of what is left | Q12 |
//! | P5 lease ids rise strictly | Q9 |
//! | P6 a superseded settle never succeeds | Q0, Q8 |
//! | P7 attempts never exceed the limit; what exceeds it is parked, never dropped | Q0, Q10, Q11 |
//! | P8 nothing is delivered before its delay or after its discard | Q13, Q16, Q17 |
//! | P9 with a willing consumer every ready message is leased in bounded time | L2, L4 |
//! | P10 what was sent once is there once | Q5, S1 |
//! | P11 ack-and-append happens wholly or not at all, and once | Q15, S6 |
//! | P12 replicas are equal at equal applied index | Q2, S9, L6 |
//! | P13 one offset, one record, for every reader, for ever; no gap | S1, S3, S4, S5, S7, S8 |
//! | P14 a committed group offset never goes back, and no stale owner's commit succeeds | G1, G2 |
//! | P15 key order survives every failover, split and merge | Q12, Q18, S5, S10, G4 |
//! | P16 after all faults heal, reads and writes are accepted again soon | L1 |
//!
//! Nothing here knows Weir's crates: the checker judges by the contract alone, so that a mistake of the product cannot
//! hide in it. All times are microseconds on the one monotonic clock of whoever wrote the history.

#![forbid(unsafe_code)]

mod appended;
pub mod checks;
mod event;
mod groups;
mod harness;
mod jsonl;
mod lineage;
mod liveness;
mod options;
mod queue;
mod report;
mod runner;
pub mod story;
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
