//! What a producer sends, and what a reader gets.

use bytes::Bytes;
use weir_types::batch::reserved_headers;
use weir_types::{BatchBuilder, BatchError};

/// One header of a record. Names may repeat; the last one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name. Those that start with `weir-` have a meaning of their own.
    pub name: String,
    /// Its value.
    pub value: Bytes,
}

/// A record to append to a stream, or a message to put into a queue.
///
/// ```
/// use std::time::Duration;
/// use weir_client::Record;
///
/// let event = Record::new("paid").key("order-17").header("source", "shop");
/// let task = Record::new("resize cat.png").priority(7).message_id("cat.png/1");
/// assert_eq!(event.key.as_deref(), Some(b"order-17".as_slice()));
/// assert_eq!(task.headers.len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Records with equal keys stay in order, in one partition. None: any partition.
    pub key: Option<Bytes>,
    /// The payload.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<Header>,
    /// Milliseconds since the Unix epoch; none stands for the time of `send`.
    pub timestamp_ms: Option<u64>,
}

impl Record {
    /// A record with this payload.
    pub fn new(value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// Sets the timestamp, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: u64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// For a queue: 0 (the default) to 9 (first).
    #[must_use]
    pub fn priority(self, priority: u8) -> Self {
        self.header(reserved_headers::PRIORITY, priority.to_string())
    }

    /// For a queue: not delivered before this time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn deliver_at_ms(self, deliver_at_ms: u64) -> Self {
        self.header(reserved_headers::DELIVER_AT, deliver_at_ms.to_string())
    }

    /// For a queue: gone this many milliseconds after its arrival if not acked.
    #[must_use]
    pub fn ttl_ms(self, ttl_ms: u64) -> Self {
        self.header(reserved_headers::TTL, ttl_ms.to_string())
    }

    /// For a queue: a message with an id that arrived within the dedup window is dropped.
    #[must_use]
    pub fn message_id(self, id: impl Into<Bytes>) -> Self {
        self.header(reserved_headers::MESSAGE_ID, id)
    }

    /// Adds it to a batch; `now_ms` is its timestamp if it has none. On an error nothing is added.
    pub(crate) fn add_to(&self, batch: &mut BatchBuilder, now_ms: u64) -> Result<(), BatchError> {
        let headers: Vec<(&str, Option<&[u8]>)> =
            self.headers.iter().map(|header| (header.name.as_str(), Some(&*header.value))).collect();
        let timestamp_ms = i64::try_from(self.timestamp_ms.unwrap_or(now_ms)).unwrap_or(i64::MAX);
        batch.push(self.key.as_deref(), self.value.as_deref(), &headers, timestamp_ms)
    }

    /// Bytes that count against the producer's buffer: payload and what surrounds it in a batch.
    pub(crate) fn buffer_bytes(&self) -> usize {
        let headers = self.headers.iter().map(|header| header.name.len() + header.value.len());
        buffer_bytes(
            self.key.as_ref().map_or(0, Bytes::len),
            self.value.as_ref().map_or(0, Bytes::len),
            headers,
        )
    }
}

/// Bytes that a record counts against the producer's buffer, from the lengths of key and value, and of each header with its
/// name.
pub(crate) fn buffer_bytes(key: usize, value: usize, headers: impl Iterator<Item = usize>) -> usize {
    key + value + headers.map(|header| header + 20).sum::<usize>() + 64
}

/// A record of a stream, as a reader gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// The stream.
    pub topic: std::sync::Arc<str>,
    /// Its partition, from 0.
    pub partition: u32,
    /// Its place there.
    pub offset: u64,
    /// Milliseconds since the Unix epoch, as its producer set it.
    pub timestamp_ms: u64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its payload.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<Header>,
}
