//! Redirects, refusals and lost answers, over real loopback sockets, against nodes that fail on demand. What a real
//! cluster does is tested elsewhere; here the point is what the client does about it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod admin;
mod connecting;
mod group;
mod grouping;
mod node;
mod partition;
mod producing;
mod queue;
mod reading;
mod splitting;
mod stream;
mod working;
