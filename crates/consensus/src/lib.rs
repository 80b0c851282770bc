//! Replication: every group is one Raft group on `openraft`, and no other crate sees an openraft type.
//!
//! ```text
//!  Group<M> ── submit, read_barrier, leadership, read_entry ──► broker
//!     │
//!  Replica: openraft core ── log store ──► storage (one FIFO for all groups)
//!     │          │      └── applier ────► M: Machine, rows, retained entries
//!     │          └──────── network ─────► transport: data, control and snapshot connections per node pair
//!     │
//!  Groups: registry, supervisor (rebuilds dead cores), failure detector (elects in place of lost leaders)
//! ```
//!
//! What it promises: an entry is answered when a majority has it synced and it is applied here; entries are applied
//! in order, once each, on every replica, their rows written in one batch with the applied position; the payload
//! lives in the log alone and stays readable until the machine retires it; a replica that got a snapshot serves
//! every retained entry.
//!
//! What it deliberately is not: it knows nothing of queues, streams or clients, reads no clock for anything that
//! is replicated, and never serves reads from a leader's lease, because elections here pass leases over when a
//! majority has lost the leader. It creates no group by itself: a message to a group that is not open is refused.

mod barrier;
mod context;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod groups;
mod handler;
mod image;
mod inflight;
mod intake;
mod liveness;
mod machine;
mod membership;
mod options;
mod raft;
mod registry;
mod replica;
mod seed;
mod snapshot;
mod status;
mod stored;
mod supervisor;
mod transfer;
mod transport;
mod wall;

pub use error::{Error, ProposeError, ReadError};
pub use group::{Applied, Group, Stored};
pub use groups::Groups;
pub use image::Image;
pub use machine::{EntryPosition, Machine};
pub use options::{GroupSpec, Limits, Options, PeerAddress, Timings};
pub use seed::Seed;
pub use status::{GroupStatus, Leadership, Members, Role};
pub use stored::{StoredVote, stored_applied, stored_vote};

/// The first byte of the keys of consensus's own rows. A machine's keys start with any other byte.
pub const RESERVED_PREFIX: u8 = 0;
