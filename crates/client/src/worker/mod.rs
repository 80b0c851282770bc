//! Working on a queue.

mod leased;
mod message;
mod options;
mod queue_worker;
mod settle;
mod unary;

pub use leased::LeasedMessage;
pub use message::Message;
pub use options::WorkerOptions;
pub use queue_worker::QueueWorker;
pub use settle::{Settle, SettleAction};
pub use unary::ReceiveOptions;
