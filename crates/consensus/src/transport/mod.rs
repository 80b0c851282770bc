//! The connections between nodes.
//!
//! ```text
//! node A ── data lane ────► node B   append requests of all groups, answers on the way back
//!        ── control lane ─►          votes, heartbeats, transfers, pings, surveys: never behind a megabyte
//!        ── snapshot ─────►          one connection per running snapshot
//! ```
//!
//! Each node dials its own lanes, so a pair has two of each. A connection begins with a hello that names the
//! cluster, both nodes, their incarnations and the protocol version; a mismatch is refused and counted. What
//! arrives after that is framed with a length and a checksum. Bytes that make no sense close their connection
//! and nothing else.

mod accept;
mod frame;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod hello;
mod lane;
mod message;
mod peers;
mod serve;

pub(crate) use accept::Acceptor;
pub(crate) use frame::FRAME_BYTES_MAX;
pub(crate) use hello::{Connected, Identity, LaneKind};
pub(crate) use lane::{Lane, Unreachable};
pub(crate) use message::*;
pub(crate) use peers::Peers;
pub(crate) use serve::Handler;
