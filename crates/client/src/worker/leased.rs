//! A message under a lease.

use std::time::Duration;

use bytes::Bytes;
use weir_proto::v1;
use weir_types::{ErrorKind, LeaseToken};

use crate::admin::convert;
use crate::{Error, Header, Result};

/// A message that was leased: its content, and the token that settles it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedMessage {
    /// Settles the message, from any client.
    pub token: LeaseToken,
    /// Its partition.
    pub partition: u32,
    /// Its id there.
    pub message_id: u64,
    /// Rises with every grant of the partition: a fencing token for the handler's own store, as in
    /// `UPDATE … WHERE fence < :lease_id`.
    pub lease_id: u64,
    /// 1 for the first delivery.
    pub attempt: u32,
    /// How long the lease runs from its grant.
    pub lease: Duration,
    /// Milliseconds since the Unix epoch, as its producer set it.
    pub timestamp_ms: u64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its payload.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<Header>,
}

impl LeasedMessage {
    pub(crate) fn from_wire(partition: u32, message: v1::LeasedMessage) -> Result<Self> {
        let token = message
            .token
            .parse()
            .map_err(|error| Error::new(ErrorKind::Internal, "token-invalid", format!("{error}")))?;
        let record = message.record.unwrap_or_default();
        Ok(Self {
            token,
            partition,
            message_id: message.message_id,
            lease_id: message.lease_id,
            attempt: message.attempt,
            lease: Duration::from_millis(message.lease_ms),
            timestamp_ms: record.timestamp_ms,
            key: record.key,
            value: record.value,
            headers: convert::headers(record.headers),
        })
    }

    /// The value of the last header of that name, which is the one that counts.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|header| header.name == name).map(|header| &*header.value)
    }
}
