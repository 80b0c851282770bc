//! Appending to a stream and putting into a queue.
//!
//! ```text
//!   send ─► Intake ─► Lane ─► leader          one of each per partition
//!           gathers   │  ▲
//!           while the │  │ answers, in order
//!           lane is   ▼  │
//!           busy     Flight: what is sent, under which ids, and in which order again
//! ```

mod batch;
mod delivery;
mod flight;
#[cfg(test)]
mod flight_tests;
mod handle;
mod intake;
mod lane;
mod options;
mod stamps;

pub use delivery::{Delivery, PendingDelivery};
pub use handle::Producer;
pub use options::ProducerOptions;
