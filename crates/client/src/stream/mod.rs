//! Reading streams.
//!
//! ```text
//!   leader ─► PartitionReader ─► Chunk ─► next()      one reader task per partition,
//!      ▲          decodes          │                  all into one bounded channel
//!      └───────── Credit ◄─────────┘ when handled
//! ```
//!
//! A partition that came of a split or a merge is read when its parents were, to their ends: `Lineage` says when.

mod chunk;
mod credit;
mod decode;
mod following;
mod lineage;
mod options;
mod partition_reader;
mod reader;

pub(crate) use chunk::{Chunk, Source};
pub(crate) use credit::Credit;
pub(crate) use decode::Origin;
pub(crate) use options::buffer_is_enough;
pub use options::{ReadUntil, ReaderOptions, StartPosition};
pub(crate) use partition_reader::{Ending, Event, PartitionReader};
pub use reader::StreamReader;
