//! Histories of whole runs, judged for liveness and for what they are worth.

mod harness;
mod liveness;
mod story;
