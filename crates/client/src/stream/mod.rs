//! Reading streams.

mod options;
mod reader;

pub use options::{ReadUntil, ReaderOptions, StartPosition};
pub use reader::StreamReader;
