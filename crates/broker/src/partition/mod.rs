//! A hosted partition: the mailbox in front of one replicated machine, and the task that drains it into Raft
//! entries.
//!
//! ```text
//!  callers ──admit──► mailbox ──drain──► one entry ──submit──► consensus ──apply──► answers to callers
//!            bytes bounded       many commands        a few in flight
//! ```

mod driver;
mod mailbox;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use weir_consensus::{Group, GroupStatus, Leadership, ProposeError};
use weir_runtime::Runtime;
use weir_types::{ErrorKind, LogIndex, NodeId, ReplicaId, WeirError};

use crate::directory::Directory;
use crate::replica::{Replica, State};
use driver::Driver;
pub(crate) use mailbox::Pending;
use mailbox::{Mailbox, Proposal};

/// A majority that has not answered for this long is lost: the leader's lease clock stands still and new
/// writes are refused. Longer than an idle group's heartbeat interval.
const CONTACT_LOST: Duration = Duration::from_secs(5);
/// How long a linearizable read waits for its majority.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(5);

/// A partition (or the metadata group) on this node. Cheap to clone; the last clone stops its task.
pub(crate) struct Partition<S: State> {
    shared: Arc<Shared<S>>,
}

struct Shared<S: State> {
    group: Group<Replica<S>>,
    machine: Arc<Mutex<Replica<S>>>,
    mailbox: Mailbox<S>,
    applied: watch::Receiver<LogIndex>,
    directory: Directory,
    _stop: DropGuard,
}

impl<S: State> Clone for Partition<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: State> Partition<S> {
    /// Starts the partition's task over an open group.
    pub(crate) fn start(
        group: Group<Replica<S>>,
        applied: watch::Receiver<LogIndex>,
        directory: Directory,
        runtime: Runtime,
    ) -> Self {
        let (mailbox, proposals) = Mailbox::new();
        let stop = CancellationToken::new();
        let (seen, addresses) = (applied.clone(), directory.clone());
        let driver = Driver::new(group.clone(), proposals, seen, addresses, runtime, stop.clone());
        tokio::spawn(driver.run());
        let machine = group.machine();
        let shared = Shared { group, machine, mailbox, applied, directory, _stop: stop.drop_guard() };
        Self { shared: Arc::new(shared) }
    }

    /// The Raft group.
    pub(crate) fn group(&self) -> &Group<Replica<S>> {
        &self.shared.group
    }

    /// Takes a command in: once this returns, it keeps its place before every later one. Waits for room, for a
    /// bounded time. Await the answer with [`Pending::answer`].
    pub(crate) async fn admit(&self, command: S::Command, body: Bytes) -> Result<Pending<S>, WeirError> {
        self.check_leads()?;
        self.shared.mailbox.admit(command, body).await
    }

    /// Takes a command in and waits for its answer.
    pub(crate) async fn propose(&self, command: S::Command) -> Result<S::Reply, WeirError> {
        let (_, answer) = self.admit(command, Bytes::new()).await?.answer().await?;
        answer.map_err(|rejection| S::error(&rejection))
    }

    /// Refuses what this replica cannot serve: it does not lead, or has lost its majority.
    pub(crate) fn check_leads(&self) -> Result<(), WeirError> {
        let leadership = *self.shared.group.leadership().borrow();
        if !leadership.here {
            return Err(not_leader(leadership.leader.map(|(_, node)| node), &self.shared.directory));
        }
        match self.shared.group.quorum_contact() {
            Some(silent) if silent > CONTACT_LOST => Err(no_majority(silent)),
            _ => Ok(()),
        }
    }

    /// Waits until everything that was committed before the call is applied here: what is read afterwards is
    /// not stale.
    pub(crate) async fn barrier(&self) -> Result<(), WeirError> {
        self.check_leads()?;
        match tokio::time::timeout(BARRIER_TIMEOUT, self.shared.group.read_barrier()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(propose_error(error, &self.shared.directory)),
            Err(_) => Err(no_majority(BARRIER_TIMEOUT)),
        }
    }

    /// Reads the machine: a short look under its lock.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Replica<S>) -> T) -> T {
        look(&self.shared.machine.lock())
    }

    /// A fresh view of the applied index, to wait for changes.
    pub(crate) fn applied(&self) -> watch::Receiver<LogIndex> {
        self.shared.applied.clone()
    }

    /// Who leads.
    pub(crate) fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.group.leadership()
    }

    /// The group's state at this moment.
    pub(crate) fn status(&self) -> GroupStatus {
        self.shared.group.status()
    }

    /// The replica and node that lead, when known.
    pub(crate) fn leader(&self) -> Option<(ReplicaId, NodeId)> {
        self.shared.group.leadership().borrow().leader
    }
}

/// The answer of a replica that does not lead.
fn not_leader(leader: Option<NodeId>, directory: &Directory) -> WeirError {
    match leader.and_then(|node| directory.client_address(node).map(|address| (node, address))) {
        Some((node, _)) if node == directory.this_node() => {
            WeirError::new(ErrorKind::Retry, "leader-starting", "this node is taking over the partition")
                .after_ms(10)
        }
        Some((node, address)) => {
            WeirError::new(ErrorKind::Redirect, "not-leader", format!("node {node} at {address} leads"))
                .at_leader(Some(address))
        }
        None => WeirError::new(ErrorKind::Retry, "no-leader", "the partition has no leader at the moment")
            .after_ms(50),
    }
}

fn no_majority(silent: Duration) -> WeirError {
    let message = format!("a majority of the replicas has not answered for {} ms", silent.as_millis());
    WeirError::new(ErrorKind::Retry, "no-majority", message).after_ms(500)
}

/// What a failed proposal means to its caller.
fn propose_error(error: ProposeError, directory: &Directory) -> WeirError {
    match error {
        ProposeError::NotLeader { leader } => not_leader(leader, directory),
        ProposeError::OutcomeUnknown => WeirError::new(
            ErrorKind::OutcomeUnknown,
            "outcome-unknown",
            "leadership changed while the request was in flight",
        ),
        ProposeError::Overloaded => {
            WeirError::new(ErrorKind::Throttled, "partition-overloaded", "too many entries in flight")
                .after_ms(100)
        }
        ProposeError::Stopped => {
            WeirError::new(ErrorKind::Retry, "replica-stopped", "the replica is stopping").after_ms(100)
        }
    }
}

/// Room for commands that wait to be proposed.
type Proposals<S> = mpsc::Receiver<Proposal<S>>;
