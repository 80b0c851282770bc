//! What nodes say to each other, as it goes over the wire (postcard inside a frame). Payloads of entries are
//! not in here: they follow the head of the frame as raw bytes, in the order of the entries.
//!
//! Variants are only ever added at the end: a node one version older must still understand the others.

use serde::{Deserialize, Serialize};
use weir_types::{GroupId, LogIndex, ReplicaId, Term, WallClock};

use crate::raft::{LogId, Vote};

/// A replica of a group, as the target of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) group: GroupId,
    pub(crate) replica: ReplicaId,
}

/// A vote: who is or wants to be leader of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireVote {
    pub(crate) term: Term,
    pub(crate) replica: ReplicaId,
    /// A majority granted it: `replica` leads.
    pub(crate) committed: bool,
}

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct WireLogId {
    pub(crate) term: Term,
    pub(crate) index: LogIndex,
}

/// An entry without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryHead {
    pub(crate) term: Term,
    pub(crate) kind: u8,
    /// Bytes of its payload.
    pub(crate) length: u32,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Call {
    Ping,
    Append(AppendCall),
    Vote(VoteCall),
    PreVote(VoteCall),
    Transfer(TransferCall),
    Survey(Vec<SurveyQuestion>),
    Roll(Vec<RollCall>),
}

/// Entries that follow `previous`, or a heartbeat when there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppendCall {
    pub(crate) target: Target,
    pub(crate) vote: WireVote,
    pub(crate) previous: Option<WireLogId>,
    pub(crate) committed: Option<WireLogId>,
    pub(crate) entries: Vec<EntryHead>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteCall {
    pub(crate) target: Target,
    pub(crate) vote: WireVote,
    pub(crate) last_log: Option<WireLogId>,
    /// Passes over the lease of a leader that asked for it or that a majority has lost.
    pub(crate) transfer: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TransferCall {
    pub(crate) target: Target,
    pub(crate) from: WireVote,
    pub(crate) to: ReplicaId,
    pub(crate) last_log: Option<WireLogId>,
}

/// "Is this group led, as far as you can hear?"
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SurveyQuestion {
    pub(crate) group: GroupId,
    /// The term whose leader the asking replica misses.
    pub(crate) term: Term,
    /// The asking replica is itself the leader of that term by its stored vote, but does not lead (it restarted
    /// or its core died).
    pub(crate) disclaims: bool,
}

/// "I lead this group in this term, and nothing happens in it."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RollCall {
    pub(crate) group: GroupId,
    pub(crate) term: Term,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Pong {
        /// The answering node's wall clock.
        wall: WallClock,
    },
    Append(AppendAnswer),
    Vote(VoteAnswer),
    Transfer(TransferAnswer),
    Survey(Vec<SurveyAnswer>),
    Refused(Refusal),
    /// The groups of a roll of which the answering node knows otherwise.
    Roll(Vec<GroupId>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AppendAnswer {
    Success,
    Partial(Option<WireLogId>),
    Conflict,
    HigherVote(WireVote),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteAnswer {
    pub(crate) vote: WireVote,
    pub(crate) granted: bool,
    pub(crate) last_log: Option<WireLogId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TransferAnswer {
    Accepted,
    VoteChanged {
        actual: WireVote,
    },
    LogNotFlushed {
        actual: Option<WireLogId>,
    },
    /// The leader has gone on writing since it asked, or this replica would reach no majority.
    Declined,
}

/// One voter's view of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SurveyAnswer {
    pub(crate) group: GroupId,
    pub(crate) replica: ReplicaId,
    pub(crate) vote: WireVote,
    pub(crate) last_log: Option<WireLogId>,
    /// It leads the group itself.
    pub(crate) leads: bool,
    /// It does not hear the leader of the asked term, or knows of none.
    pub(crate) lost: bool,
    /// It can campaign in the leader's name, past the leases that followers still hold.
    pub(crate) ready: bool,
}

/// Why a request was not even tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    UnknownGroup,
    WrongReplica,
    Stopped,
    Malformed,
    Busy,
}

impl Refusal {
    /// The label under which it is counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UnknownGroup => "unknown_group",
            Self::WrongReplica => "wrong_replica",
            Self::Stopped => "stopped",
            Self::Malformed => "malformed",
            Self::Busy => "busy",
        }
    }
}

impl From<&Vote> for WireVote {
    fn from(vote: &Vote) -> Self {
        Self {
            term: Term(vote.leader_id.term),
            replica: ReplicaId(vote.leader_id.voted_for),
            committed: vote.committed,
        }
    }
}

impl From<WireVote> for Vote {
    fn from(vote: WireVote) -> Self {
        let mut named = Self::new(vote.term.0, vote.replica.0);
        named.committed = vote.committed;
        named
    }
}

impl From<&LogId> for WireLogId {
    fn from(id: &LogId) -> Self {
        Self { term: Term(**id.committed_leader_id()), index: LogIndex(id.index()) }
    }
}

impl From<WireLogId> for LogId {
    fn from(id: WireLogId) -> Self {
        Self::new_term_index(id.term.0, id.index.0)
    }
}
