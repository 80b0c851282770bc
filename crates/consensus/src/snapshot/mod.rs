//! Snapshots: a handle to the group's rows and retained entries, streamed to a peer on a connection of its own.
//!
//! ```text
//! sender                                   receiver
//!   Offer { target, vote, position, … } ──►  identity, capacity and log are checked
//!                                       ◄──  Send | HaveIt | Refused
//!   chunk, chunk, … (raw frames)        ──►  staged on disk as they come
//!   empty frame: the end                ──►  counts and checksum are verified, then installed
//!                                       ◄──  Installing, every second meanwhile
//!                                       ◄──  Installed { vote }
//! ```
//!
//! A connection that breaks leaves nothing behind but a staging area, which is dropped; the sender starts over.

mod receive;
mod send;
mod view;

use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use weir_storage::ImportReady;
use weir_types::LogIndex;

pub(crate) use receive::receive;
pub(crate) use send::send;
pub(crate) use view::{CHUNK_BYTES_MAX, View};

use crate::Limits;
use crate::raft::SnapshotMeta;
use crate::transport::{Refusal, Target, WireVote};

/// Largest offer or reply.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Between two signs of an installation that goes on.
const INSTALLING_SIGN: Duration = Duration::from_secs(1);
/// How long the sender waits for a word from the receiver: the answer to its offer, or the next such sign.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What openraft passes around as a snapshot.
pub(crate) enum SnapshotHandle {
    /// This replica's own state, in its store.
    Own,
    /// A peer's state, received, verified and staged.
    Received(Box<Received>),
}

/// A staged snapshot.
pub(crate) struct Received {
    pub(crate) import: ImportReady,
    /// The first retained entry in it.
    pub(crate) retained_from: LogIndex,
}

/// How many snapshots may be under way on this node.
pub(crate) struct SnapshotSlots {
    pub(crate) sending: Semaphore,
    pub(crate) receiving: Semaphore,
}

impl SnapshotSlots {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            sending: Semaphore::new(limits.snapshots_sent_max),
            receiving: Semaphore::new(limits.snapshots_received_max),
        }
    }
}

/// The first frame of the sender.
#[derive(Serialize, Deserialize)]
struct Offer {
    target: Target,
    vote: WireVote,
    /// Applied position and membership of exactly the rows that follow.
    meta: SnapshotMeta,
    /// The first entry that follows.
    retained_from: LogIndex,
}

/// The receiver's replies.
#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    /// Go on.
    Send,
    /// Nothing to send: the receiver's log holds that position already.
    HaveIt { vote: WireVote },
    /// Not now, or not here.
    Refused(Refusal),
    /// Done; the receiver's vote.
    Installed { vote: WireVote },
    /// Everything has come, and is being installed. The sender has nothing more to send: without a word from the receiver
    /// it would not learn that the receiver's machine lost its power.
    Installing,
}

fn encode<T: Serialize>(value: &T) -> bytes::Bytes {
    postcard::to_stdvec(value).expect("snapshot messages always encode").into()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

/// For the fuzz targets: an offer or reply that decodes is encoded to the same bytes as its like.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_messages(bytes: &[u8]) {
    fn law<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
        let Ok(message) = decode::<T>(bytes) else { return };
        let once = encode(&message);
        let again = encode(&decode::<T>(&once).expect("what was encoded decodes"));
        assert_eq!(once, again);
    }
    law::<Offer>(bytes);
    law::<Reply>(bytes);
}
