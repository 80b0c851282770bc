//! A client without retries, routing of its own or memory: each call is one question to one node, and its answer.
//!
//! The product's client hides what a checker must see: that an attempt failed and another one followed. Here each
//! attempt is an operation of its own.

mod link;
mod routes;
mod trouble;

pub use link::Link;
pub use routes::{Route, Routes, Watcher};
pub use trouble::Trouble;
