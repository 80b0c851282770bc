//! Reaching the right node, and trying again.

mod attempts;
mod core;
mod failure;
mod pauses;
mod pool;
mod route;

pub(crate) use attempts::{Attempts, Failure, Next};
pub(crate) use core::{Call, Core};
pub(crate) use pauses::Pauses;
pub(crate) use pool::ANSWER_BYTES_MAX;
pub(crate) use route::Route;
