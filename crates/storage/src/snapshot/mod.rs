//! Snapshots of one group: its rows and a stretch of its log, as a stream of bytes in bounded chunks.

mod export;
pub(crate) mod format;
mod import;

pub use export::Export;
pub use import::{Import, ImportReady};
