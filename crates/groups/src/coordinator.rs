//! The coordinator's state and the one place where commands are told apart.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::{At, Corrupt, Deadlines, GroupId, LeaseClock, Output, TopicId};

use crate::apply::{Finish, Join};
use crate::command::Command;
use crate::group::Group;
use crate::member::{Epoch, MemberId};
use crate::output::{Effect, Rejection, Reply};
use crate::topic::{Parents, Topic};

/// One shard of the consumer-group coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coordinator {
    /// The last epoch given.
    pub(crate) epoch: Epoch,
    pub(crate) topics: BTreeMap<TopicId, Topic>,
    pub(crate) groups: BTreeMap<String, Group>,
    // Derived from the above, never stored.
    pub(crate) deadlines: BTreeSet<(LeaseClock, String, MemberId)>,
    /// When partitions are taken from owners that do not give them up.
    pub(crate) revocations: BTreeSet<(LeaseClock, String, GroupId)>,
    /// How many members of each group subscribe to a topic.
    pub(crate) subscribers: BTreeMap<TopicId, BTreeMap<String, usize>>,
}

impl Coordinator {
    /// Carries out one command. A rejection changes nothing; an error means that this log cannot have been
    /// written by a correct coordinator, and the replica must stop.
    pub fn apply(
        &mut self,
        at: At,
        command: Command,
        out: &mut Output<Effect>,
    ) -> Result<Result<Reply, Rejection>, Corrupt> {
        Ok(match command {
            Command::Join { group, member, topics, session_timeout_ms, request } => {
                self.join(at, Join { group, member, topics, session_timeout_ms, request }, out)
            }
            Command::Heartbeat { group, member, epoch, owned } => {
                self.heartbeat(at, &group, &member, epoch, &owned, out)
            }
            Command::Leave { group, member, epoch } => self.leave(at, &group, &member, epoch, out),
            Command::Tick => Ok(self.tick(at, out)),
            Command::SetPartitions { topic, partitions, version } => {
                let known = Topic { version, partitions, parents: Parents::new() };
                self.set_partitions(at, topic, known, out)
            }
            Command::DeleteGroup { group } => self.delete_group(&group, out),
            Command::RaiseEpochs { above } => Ok(self.raise_epochs(above, out)),
            Command::SetLineage { topic, partitions, parents, version } => {
                self.set_partitions(at, topic, Topic { version, partitions, parents }, out)
            }
            Command::Finish { group, member, partition, epoch } => {
                self.finish(at, Finish { group, member, partition, epoch }, out)
            }
        })
    }

    /// When the next member expires unless it is heard before, or the next partition is taken from an owner that
    /// does not give it up.
    pub fn next_deadlines(&self) -> Deadlines {
        let expiry = self.deadlines.first().map(|(deadline, _, _)| *deadline);
        let revocation = self.revocations.first().map(|(deadline, _, _)| *deadline);
        Deadlines { lease: expiry.into_iter().chain(revocation).min(), wall: None }
    }
}
