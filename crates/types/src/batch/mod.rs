//! The record batch: the unit of everything. Producer, network, Raft entry, disk and fetch hold the same bytes,
//! in the published Kafka `RecordBatch` v2 layout (magic 2), so that no layer ever converts a payload.
//!
//! All numbers are big-endian; a batch is 61 bytes of header, then the records, compressed as one section.
//!
//! | at | bytes | field | |
//! |---:|---:|---|---|
//! | 0 | 8 | base offset | of the first record; written at fetch, see [`restamp`] |
//! | 8 | 4 | batch length | bytes that follow this field |
//! | 12 | 4 | partition leader epoch | written at fetch, like the base offset |
//! | 16 | 1 | magic | 2 |
//! | 17 | 4 | CRC | CRC-32C of everything from the attributes to the end |
//! | 21 | 2 | attributes | bits 0-2: [`Codec`]; all others must be 0 |
//! | 23 | 4 | last offset delta | record count - 1: the door takes dense batches only; more when compaction has taken records out |
//! | 27 | 8 | first timestamp | of the first record, milliseconds since the Unix epoch |
//! | 35 | 8 | max timestamp | the largest of the records |
//! | 43 | 8 | producer id | -1 for none |
//! | 51 | 2 | producer epoch | -1 for none; 0 to 32,767, see [`ProducerSequence`] |
//! | 53 | 4 | base sequence | of the first record, -1 for none |
//! | 57 | 4 | record count | |
//! | 61 | | records | see [`RecordView`] |
//!
//! Three views of it: [`BatchBuilder`] writes one, [`BatchHeader`] checks one at the door, [`BatchView`] reads
//! the records. This module compresses nothing: that is the crate `weir-compression`.

mod builder;
mod codec;
mod error;
mod header;
mod producer;
mod record;
mod records;
pub mod reserved_headers;
mod restamp;
mod varint;
mod view;

pub use builder::BatchBuilder;
pub use codec::Codec;
pub use error::BatchError;
pub use header::{BATCH_HEADER_BYTES, BatchHeader};
pub use producer::{PRODUCER_EPOCH_MAX, ProducerSequence, SEQUENCE_MAX};
pub use record::{HeaderView, HeadersView, RecordView};
pub use records::Records;
pub use restamp::{RESTAMP_BYTES, restamp};
pub use view::BatchView;
