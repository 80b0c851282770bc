//! A look at everything that this node hosts, for the checks of a simulation: what no client may see.

use std::collections::BTreeMap;

use weir_consensus::{GroupStatus, Leadership};
use weir_types::{GroupId, LeaseClock, LeaseId, LogIndex, Offset, ReplicaId, WallClock};

use crate::broker::Broker;
use crate::hosted::{Kind, with_partition};
use crate::partition::Partition;
use crate::remote::QueueCounts;
use crate::replica::{Replica, State};

/// One replica on this node.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Which replica.
    pub replica: ReplicaId,
    /// The last entry that its machine has applied.
    pub applied: LogIndex,
    /// What consensus says of itself.
    pub status: GroupStatus,
    /// Who leads, as this replica knows it.
    pub leadership: Leadership,
    /// The lease clock of its last entry.
    pub lease_clock: LeaseClock,
    /// What its machine holds.
    pub contents: Contents,
}

/// What a machine holds.
#[derive(Clone, Debug)]
pub enum Contents {
    /// A queue.
    Queue {
        /// Its messages.
        counts: QueueCounts,
        /// The last lease that it granted.
        last_lease: LeaseId,
    },
    /// A stream.
    Stream {
        /// The next offset.
        end: Offset,
    },
    /// The registry, or a shard of the coordinator.
    Internal,
}

impl Broker {
    /// Every replica on this node.
    pub fn inspect(&self) -> BTreeMap<GroupId, Inspection> {
        let metadata = self.metadata().partition();
        let registry = inspection(metadata, metadata.group().spec().replica, |_| Contents::Internal);
        let hosted = self.inner().hosted.read();
        let others = hosted.iter().map(|(group, hosted)| {
            let replica = hosted.replica;
            let found = match &hosted.partition {
                Kind::Queue(queue) => inspection(queue, replica, |queue| Contents::Queue {
                    counts: crate::api::queue::counts(queue),
                    last_lease: queue.stats().last_lease,
                }),
                Kind::Stream(stream) => {
                    inspection(stream, replica, |stream| Contents::Stream { end: stream.end_offset() })
                }
                Kind::Coordinator(shard) => inspection(shard, replica, |_| Contents::Internal),
            };
            (*group, found)
        });
        others.chain([(GroupId::METADATA, registry)]).collect()
    }

    /// Shows who leads each group that is open on this node, as this node knows it.
    pub fn each_leadership(&self, see: &mut dyn FnMut(GroupId, Leadership)) {
        see(GroupId::METADATA, *self.metadata().partition().leadership().borrow());
        for (group, hosted) in &*self.inner().hosted.read() {
            see(*group, *hosted.leadership().borrow());
        }
    }

    /// Panics when a machine on this node contradicts itself.
    pub fn check_machines(&self) {
        self.metadata().partition().read(check);
        for hosted in self.inner().hosted.read().values() {
            with_partition!(&hosted.partition, partition => partition.read(check));
        }
    }
}

fn check<S: State>(replica: &Replica<S>) {
    // Before its first command a machine has rows of its own still to write; every command moves the wall clock.
    if replica.clocks().wall > WallClock(0) {
        replica.state().check_invariants();
    }
}

fn inspection<S: State>(
    partition: &Partition<S>,
    replica: ReplicaId,
    contents: impl FnOnce(&S) -> Contents,
) -> Inspection {
    let (applied, lease_clock, contents) =
        partition.read(|replica| (replica.last(), replica.clocks().lease, contents(replica.state())));
    let leadership = *partition.leadership().borrow();
    Inspection { replica, applied, status: partition.status(), leadership, lease_clock, contents }
}
