//! Sharing a stream among the members of a group.

mod options;
mod stream_consumer;

pub use options::{ConsumerOptions, GroupStart};
pub use stream_consumer::StreamConsumer;
