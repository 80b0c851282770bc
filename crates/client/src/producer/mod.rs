//! Appending to a stream and putting into a queue.

mod delivery;
mod handle;
mod options;

pub use delivery::{Delivery, PendingDelivery};
pub use handle::Producer;
pub use options::ProducerOptions;
