//! The `RocksDB` engine. The only module that names a `RocksDB` type.

mod database;
mod directory;
mod guard;
mod manifest;
mod options;
mod view;

pub(crate) use directory::Directory;
