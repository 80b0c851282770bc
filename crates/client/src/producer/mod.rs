//! Appending to a stream and putting into a queue.
//!
//! ```text
//!   send ─► Intake ─► Lane ─► leader          one of each per partition; Lanes finds the one of a key
//!           gathers   │  ▲
//!           while the │  │ answers, in order
//!           lane is   ▼  │
//!           busy     Flight: what is sent, under which ids, and in which order again
//! ```
//!
//! When a partition is split or merged, its lane ends: what it has not delivered is cut anew by key (`recut.rs`) for the lanes
//! of the partitions that own its keys then.

mod batch;
mod delivery;
mod flight;
#[cfg(test)]
mod flight_tests;
mod handle;
mod intake;
mod lane;
mod lanes;
#[cfg(test)]
mod lanes_tests;
mod options;
mod recut;
mod stamps;

pub use delivery::{Delivery, PendingDelivery};
pub use handle::Producer;
pub use options::ProducerOptions;
