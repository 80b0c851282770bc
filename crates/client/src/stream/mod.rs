//! Reading streams.
//!
//! ```text
//!   leader ─► PartitionReader ─► Chunk ─► next()      one reader task per partition,
//!      ▲          decodes          │                  all into one bounded channel
//!      └───────── Credit ◄─────────┘ when handled
//! ```

mod chunk;
mod credit;
mod decode;
mod options;
mod partition_reader;
mod reader;

pub(crate) use chunk::{Chunk, Source};
pub(crate) use credit::Credit;
pub(crate) use decode::Origin;
pub(crate) use options::buffer_is_enough;
pub use options::{ReadUntil, ReaderOptions, StartPosition};
pub(crate) use partition_reader::{Event, PartitionReader};
pub use reader::StreamReader;
