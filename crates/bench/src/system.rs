//! What a broker must be able to do to be measured.

use std::future::Future;

use bytes::Bytes;

/// Whatever a client library fails with.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A broker with a queue or a stream, ready to be loaded.
pub trait System: Send + Sync + 'static {
    /// Its publishers.
    type Publisher: Publisher;
    /// Its consumers.
    type Consumer: Consumer;

    /// How many consumers it takes to reach every message.
    fn consumers_min(&self) -> u32;

    /// Opens the publisher of this place, counted from 0.
    fn publisher(&self, place: u32) -> impl Future<Output = Result<Self::Publisher, Error>> + Send;

    /// Opens the consumer of this place of so many.
    fn consumer(&self, place: u32, of: u32) -> impl Future<Output = Result<Self::Consumer, Error>> + Send;
}

/// Publishes, and hears when a message is safe.
pub trait Publisher: Send + 'static {
    /// Completes when the broker has said that the message is safe, by its own rule.
    type Confirm: Future<Output = Result<(), Error>> + Send + 'static;

    /// Hands a message over; waits only while the client library takes none.
    fn publish(&mut self, body: Bytes) -> impl Future<Output = Result<Self::Confirm, Error>> + Send;

    /// Ends in good order.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Gets messages, each with what acknowledges it.
pub trait Consumer: Send + 'static {
    /// Completes when the message is acknowledged, by the broker's own rule; at once for a reader of a log.
    type Ack: Future<Output = Result<(), Error>> + Send + 'static;

    /// The next message. Cancel safe: a message is not lost by dropping this future.
    fn next(&mut self) -> impl Future<Output = Result<(Bytes, Self::Ack), Error>> + Send;

    /// Ends in good order.
    fn close(self) -> impl Future<Output = ()> + Send;
}
