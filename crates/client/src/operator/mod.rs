//! Operators: what handles the records of a stream, with state, and each record's effects once.
//!
//! ```text
//!                       ┌──────────── Task, one per partition ────────────┐
//!  input stream ─batch─►│ Handler ─► Step: state, event time, outputs     │
//!                       └───────────────────────┬─────────────────────────┘
//!                                               ▼ one commit-and-append
//!                position of the group │ outputs to other topics │ changes of state to the changelog
//! ```
//!
//! Position, outputs and changes take effect together, or none does, so that a crash at any moment repeats nothing that
//! counted. A partition that comes to another member brings its state along: the member reads the changelog's partition of
//! the same number, once everything that former owners appended has arrived there.
//!
//! An operator with state stops when partitions of its input are split or merged: the keys of a new partition have their state in
//! the changelog's partition of another number. One without state goes on.
//!
//! A [`Source`] is where a stream begins: it brings something from outside in, and goes on where it left off.
//!
//! Tasks, their state and the windows (`task.rs`, `state.rs`, `windowed.rs`) do no IO: the same records in the same order give
//! the same outputs and changes.

mod clock;
mod flow;
mod handler;
mod run;
mod source;
mod state;
mod step;
mod task;
mod window;
mod windowed;

pub use flow::Flow;
pub use handler::{Handler, HandlerError};
pub use run::{Operator, OperatorOptions, OperatorReport};
pub use source::Source;
pub use step::Step;
pub use window::{Window, Windows};
pub use windowed::{Aggregator, Windowed};
