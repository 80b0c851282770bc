//! What `weir queue send` and `weir stream append` share: records out of lines, sent without waiting for each answer.

use std::collections::VecDeque;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;
use weir_client::{PendingDelivery, Producer, ProducerOptions, Record};
use weir_types::{Codec, TopicKind};

use super::Connection;
use super::lines::{Keyed, Lines};
use crate::failure::{Failure, Outcome};
use crate::output::count;

/// Records that are sent and not yet answered.
const PENDING_MAX: usize = 10_000;

/// What to publish, and how.
#[derive(Debug, Args)]
pub(super) struct Publish {
    #[command(flatten)]
    pub(super) lines: Lines,
    /// How batches are compressed
    #[arg(
        long,
        value_name = "CODEC",
        default_value = "none",
        value_parser = PossibleValuesParser::new(["none", "lz4", "zstd", "snappy", "gzip"])
    )]
    compression: String,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// What was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Published {
    /// Records that a majority has on disk.
    pub(super) records: u64,
    /// Bytes of their bodies.
    pub(super) bytes: u64,
}

impl Publish {
    /// Opens a producer for `topic`, which must be of this kind.
    pub(super) async fn open(&self, topic: &str, kind: TopicKind) -> Result<Publisher, Failure> {
        let codec: Codec = self.compression.parse().map_err(Failure::usage)?;
        let delivery_timeout = self.connection.timeout();
        let options =
            ProducerOptions { codec, kind: Some(kind), delivery_timeout, ..ProducerOptions::default() };
        let producer = self.connection.client().await?.producer(topic, options).await?;
        Ok(Publisher { producer, pending: VecDeque::new(), published: Published::default() })
    }

    /// A record with the headers that were asked for.
    pub(super) fn record(&self, keyed: Keyed) -> Record {
        let record = Record::new(keyed.value);
        let record = match keyed.key {
            Some(key) => record.key(key),
            None => record,
        };
        let headers = &self.lines.headers;
        headers
            .iter()
            .fold(record, |record, (name, value)| record.header(name.clone(), value.clone().into_bytes()))
    }
}

/// Sends, and counts the answers.
pub(super) struct Publisher {
    producer: Producer,
    pending: VecDeque<(u64, PendingDelivery)>,
    published: Published,
}

impl Publisher {
    /// Hands a record over; waits only when too many are unanswered.
    pub(super) async fn send(&mut self, record: Record) -> Outcome {
        while self.pending.len() >= PENDING_MAX {
            self.settle_first().await?;
        }
        let bytes = record.value.as_ref().map_or(0, |value| value.len() as u64);
        let pending = self.producer.send(record).await?;
        self.pending.push_back((bytes, pending));
        Ok(())
    }

    /// Waits for every answer. When `sending` was cut short, that is the failure, with how far it came.
    pub(super) async fn finish(mut self, sending: Outcome) -> Result<Published, Failure> {
        while !self.pending.is_empty() {
            self.settle_first().await?;
        }
        match sending {
            Ok(()) => Ok(self.published),
            Err(failure) => Err(failure.after(self.progress())),
        }
    }

    async fn settle_first(&mut self) -> Outcome {
        let Some((bytes, pending)) = self.pending.pop_front() else { return Ok(()) };
        pending.await.map_err(|error| Failure::from(error).after(self.progress()))?;
        self.published.records += 1;
        self.published.bytes += bytes;
        Ok(())
    }

    /// How far it came is what a caller needs to go on from there.
    fn progress(&self) -> String {
        format!("acknowledged before: {}", count(self.published.records, "record"))
    }
}
