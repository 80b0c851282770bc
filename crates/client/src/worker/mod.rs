//! Working on a queue.
//!
//! ```text
//!   leader ◄─► Session ─► Message ─► next()      one session per partition; Sessions opens those of new ones
//!                │  ▲        │
//!        Held ◄──┤  └── ack, nack, extend …
//!     Settles ◄──┤
//!      Credit ◄──┘
//! ```

mod closing;
mod credit;
mod held;
mod leased;
mod message;
mod options;
mod outputs;
mod queue_worker;
mod session;
mod sessions;
mod settle;
mod settles;
mod unary;

pub use leased::LeasedMessage;
pub use message::Message;
pub use options::WorkerOptions;
pub(crate) use outputs::OutputBatches;
pub use outputs::Outputs;
pub use queue_worker::QueueWorker;
pub use settle::{Settle, SettleAction};
pub use unary::ReceiveOptions;
