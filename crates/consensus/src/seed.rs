//! The first replica of a group that begins with an image instead of with nothing.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weir_storage::{GroupStore, Import};
use weir_types::{NodeId, ReplicaId};

use crate::raft::{ConsensusRows, Member, SnapshotMeta, StoredMembership, Vote, encode, log_id};
use crate::transport::WireVote;
use crate::{EntryPosition, Error, GroupSpec, Groups};

/// An [`Image`](crate::Image) on its way into a replica that has nothing yet.
///
/// When it is finished, the replica is as one that took a snapshot and then restarted: it has the image's rows, its
/// retained entries and its position, but the members that its own cluster gave the group. No other member has anything,
/// so it alone can win the election, in a term above the image's, and the others get all of it as a snapshot before
/// anything is committed.
pub struct Seed {
    groups: Groups,
    spec: GroupSpec,
    store: GroupStore,
    import: Import,
}

impl Seed {
    pub(crate) async fn begin(groups: Groups, spec: GroupSpec, store: GroupStore) -> Result<Self, Error> {
        let import = store.begin_import().await?;
        Ok(Self { groups, spec, store, import })
    }

    /// Takes the next bytes, in order; returns when there is room for more.
    ///
    /// # Errors
    /// [`Error::Store`] when they are damaged, or of another group.
    pub async fn chunk(&mut self, bytes: Bytes) -> Result<(), Error> {
        Ok(self.import.chunk(bytes).await?)
    }

    /// Puts everything in its place, durable on return: a group of `voters` that stands at `position`. Until then nothing
    /// of it is visible, and a seed that is dropped leaves nothing. `wanted` is asked at a moment from which on
    /// [`Groups::destroy`] waits: what is not wanted any more is not brought back behind its back.
    ///
    /// # Errors
    /// [`Error::Store`] when bytes are missing, [`Error::AlreadyOpen`] when the replica was opened meanwhile,
    /// [`Error::Rejected`] when it is not wanted.
    pub async fn finish(
        self,
        position: EntryPosition,
        voters: BTreeMap<ReplicaId, NodeId>,
        wanted: impl FnOnce() -> bool,
    ) -> Result<(), Error> {
        let Self { groups, spec, store, import } = self;
        let import = import.finish()?;
        let end = import.log_ends().map_or(position.index, |(_, last)| last);
        if end != position.index {
            let reason = format!("the image ends at entry {end}, and is said to end at {}", position.index);
            return Err(Error::Rejected { reason });
        }
        let meta = meta(position, voters)?;
        let last = log_id(position.term, position.index);
        let install = async {
            if !wanted() {
                return Err(Error::Rejected { reason: "the replica is not wanted any more".to_owned() });
            }
            // The vote first: a log of a term above the vote's would be taken for another leader's.
            store.save_vote(encode(&vote(position, spec.replica)).into()).await?;
            store.install(import, ConsensusRows::of_snapshot(&meta), encode(&last).into()).await?;
            Ok::<(), Error>(())
        };
        groups.install(spec, install).await
    }
}

/// As of a snapshot that was taken in at that position, with the new group's members.
fn meta(position: EntryPosition, voters: BTreeMap<ReplicaId, NodeId>) -> Result<SnapshotMeta, Error> {
    let ids: BTreeSet<u64> = voters.keys().map(|replica| replica.0).collect();
    let members: BTreeMap<u64, Member> =
        voters.into_iter().map(|(replica, node)| (replica.0, Member { node })).collect();
    let membership = openraft::Membership::new(vec![ids], members)
        .map_err(|error| Error::Rejected { reason: error.to_string() })?;
    let last = Some(log_id(position.term, position.index));
    Ok(SnapshotMeta { last_log_id: last, last_membership: StoredMembership::new(last, membership) })
}

/// Of a candidate of the image's term: the next election is in the term after it.
fn vote(position: EntryPosition, replica: ReplicaId) -> Vote {
    Vote::from(WireVote { term: position.term, replica, committed: false })
}
