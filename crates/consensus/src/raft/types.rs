//! openraft's type parameters.

use std::any::Any;
use std::fmt;

use bytes::Bytes;
use openraft::impls::{BoxedErrorSource, InlineBatch, leader_id_std};
use openraft::raft::ClientWriteResult;
use openraft::rt::deterministic_rng::DeterministicRng;
use openraft::vote::RaftLeaderId;
use openraft::{EntryPayload, OptionalSend, RaftTypeConfig};
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::oneshot;
use weir_types::NodeId;

use super::Applier;
use crate::inflight::Permit;

/// openraft's parameters. Standard Raft leader ids: one leader per term, so that (term, index) names an entry.
#[derive(Debug, Clone, Copy, Default, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) struct TypeConfig;

type Tokio = openraft::impls::TokioRuntime;

impl RaftTypeConfig for TypeConfig {
    type D = Payload;
    type R = Reply;
    type NodeId = u64;
    type Node = Member;
    type Term = u64;
    type LeaderId = leader_id_std::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = EntryPayload<Payload, u64, Member>;
    type Entry = openraft::Entry<<Self::LeaderId as RaftLeaderId>::Committed, Self::Payload>;
    // Election timeouts are drawn from a seed that `weir-runtime` gives, so that a simulation repeats them.
    type AsyncRuntime = DeterministicRng<Tokio>;
    type Responder<T>
        = Responder<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

pub(crate) type Raft = openraft::Raft<TypeConfig, Applier>;
pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Fatal = openraft::errors::Fatal<TypeConfig>;
pub(crate) type WriteResult = ClientWriteResult<TypeConfig>;
pub(crate) type TransferRequest = openraft::raft::TransferLeaderRequest<TypeConfig>;

/// Enters the scope in which openraft draws its random numbers; building and running a replica needs it.
pub(crate) fn with_seed<F: Future>(seed: u64, future: F) -> impl Future<Output = F::Output> {
    DeterministicRng::<Tokio>::scope(seed, future)
}

/// The payload of a normal entry: opaque bytes of the machine above.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Payload(pub(crate) Bytes);

// openraft logs entries with `Debug` and `Display`; payloads must not end up in logs.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The answer of a machine, its type erased; `Group<M>` knows it again. The mutex makes it `Sync`, as openraft
/// asks, although it is never shared.
pub(crate) struct Reply(Mutex<Option<Box<dyn Any + Send>>>);

impl Reply {
    pub(crate) fn new(reply: Box<dyn Any + Send>) -> Self {
        Self(Mutex::new(Some(reply)))
    }

    /// For entries that no machine answers.
    pub(crate) fn none() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn take<R: 'static>(self) -> Option<R> {
        self.0.into_inner().and_then(|any| any.downcast().ok()).map(|reply| *reply)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

// openraft's `serde` feature asks for these; a reply never leaves the process.
impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Reply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Self::none())
    }
}

/// What the membership of a group knows of each replica: the node it lives on. Addresses come from the
/// address book, so that a node may move without a membership change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) node: NodeId,
}

/// Hands the outcome of a proposal to its proposer and gives its share of the group's budget back.
pub(crate) struct Responder<T> {
    sender: oneshot::Sender<T>,
    _permit: Permit,
}

impl<T> Responder<T> {
    pub(crate) fn new(permit: Permit) -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender, _permit: permit }, receiver)
    }
}

impl<T: OptionalSend + 'static> openraft::raft::responder::Responder<TypeConfig, T> for Responder<T> {
    fn on_complete(self, result: T) {
        // A proposer that gave up is no error: the entry is committed all the same.
        let _ = self.sender.send(result);
    }
}
