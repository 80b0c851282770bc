//! What consensus keeps in a group's rows, decoded for those who look at a disk from outside: the checks of a
//! simulation.

use std::io;

use weir_types::{LogIndex, ReplicaId, Row, Term};

use crate::raft::{self, ConsensusRows, Vote};

/// A vote as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredVote {
    /// For which term.
    pub term: Term,
    /// A majority is known to have cast it.
    pub committed: bool,
    /// For whom.
    pub replica: ReplicaId,
}

/// Decodes a group's vote.
pub fn stored_vote(bytes: &[u8]) -> io::Result<StoredVote> {
    let vote: Vote = raft::decode(bytes)?;
    let leader = vote.leader_id;
    Ok(StoredVote {
        term: Term(leader.term),
        committed: vote.committed,
        replica: ReplicaId(leader.voted_for),
    })
}

/// The applied position among a group's rows; none before the first entry.
pub fn stored_applied(rows: Vec<Row>) -> io::Result<Option<(Term, LogIndex)>> {
    let (ours, _) = ConsensusRows::split(rows)?;
    Ok(ours.applied.last.map(|last| (Term(**last.committed_leader_id()), LogIndex(last.index()))))
}
