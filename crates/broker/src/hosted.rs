//! A partition on this node, of whatever kind.

use tokio::sync::watch;
use weir_consensus::{Error, GroupStatus, Leadership};
use weir_groups::Coordinator;
use weir_queue::Queue;
use weir_stream::Stream;
use weir_types::{LogIndex, NodeId, ReplicaId};

use crate::api::queue::counts;
use crate::partition::Partition;
use crate::remote::{ContentsView, PartitionView};
use crate::replica::State;

/// A partition on this node, and which replica of it this is.
#[derive(Clone)]
pub(crate) struct Hosted {
    pub(crate) replica: ReplicaId,
    pub(crate) partition: Kind,
    /// Its topic is being restored: it serves nobody yet, and sends nothing.
    pub(crate) restoring: bool,
}

/// The machine that it runs.
#[derive(Clone)]
pub(crate) enum Kind {
    Queue(Partition<Queue>),
    Stream(Partition<Stream>),
    Coordinator(Partition<Coordinator>),
}

/// Does the same with whatever partition it is.
macro_rules! with_partition {
    ($kind:expr, $partition:ident => $body:expr) => {
        match $kind {
            Kind::Queue($partition) => $body,
            Kind::Stream($partition) => $body,
            Kind::Coordinator($partition) => $body,
        }
    };
}
pub(crate) use with_partition;

impl Hosted {
    pub(crate) fn leadership(&self) -> watch::Receiver<Leadership> {
        with_partition!(&self.partition, partition => partition.leadership())
    }

    pub(crate) fn leads(&self) -> bool {
        self.leadership().borrow().here
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        with_partition!(&self.partition, partition => partition.leader()).map(|(_, node)| node)
    }

    pub(crate) fn status(&self) -> GroupStatus {
        with_partition!(&self.partition, partition => partition.status())
    }

    pub(crate) fn check_leads(&self) -> Result<(), weir_types::WeirError> {
        with_partition!(&self.partition, partition => partition.check_leads())
    }

    pub(crate) async fn transfer_leader(&self, to: ReplicaId) -> Result<(), Error> {
        with_partition!(&self.partition, partition => partition.group().transfer_leader(to).await)
    }

    /// Whether it takes in nothing any more, as its own state says.
    pub(crate) fn is_sealed(&self) -> bool {
        match &self.partition {
            Kind::Queue(queue) => queue.read(|replica| replica.state().is_sealed()),
            Kind::Stream(stream) => stream.read(|replica| replica.state().is_sealed()),
            Kind::Coordinator(_) => false,
        }
    }

    /// How the partition is, from its leader's state.
    pub(crate) fn view(&self) -> PartitionView {
        let contents = match &self.partition {
            Kind::Queue(queue) => ContentsView::Queue(queue.read(|replica| counts(replica.state()))),
            Kind::Stream(stream) => stream.read(|replica| {
                let stream = replica.state();
                ContentsView::Stream {
                    start: stream.start_offset(),
                    end: stream.end_offset(),
                    bytes: stream.bytes(),
                }
            }),
            Kind::Coordinator(_) => ContentsView::Internal,
        };
        view(&self.status(), contents)
    }
}

/// How a partition is, for its status and what it holds.
pub(crate) fn view(status: &GroupStatus, contents: ContentsView) -> PartitionView {
    let last = status.last_log.unwrap_or_default();
    let lag = |matched: Option<LogIndex>| last.0.saturating_sub(matched.unwrap_or_default().0);
    let members = status.voters.iter().chain(&status.learners);
    PartitionView {
        term: status.term.0,
        committed: status.committed.unwrap_or_default().0,
        replicas: members
            .map(|(replica, node)| (*replica, *node, lag(status.matched.get(replica).copied().flatten())))
            .collect(),
        contents,
    }
}

/// How the metadata group is.
pub(crate) fn metadata_view<S: State>(partition: &Partition<S>) -> PartitionView {
    view(&partition.status(), ContentsView::Internal)
}
