//! One replica of one group on this node, whatever its machine: what the registry, the transport and the
//! failure detector work with.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::time::Instant;
use weir_runtime::TaskGroup;
use weir_types::{LogIndex, NodeId, ReplicaId, Term};

use crate::barrier::Barrier;
use crate::context::Context;
use crate::inflight::Inflight;
use crate::intake::Intake;
use crate::liveness::{Rest, missing, pace, stir};
use crate::raft::{AnyMachine, ConsensusRows, Core, Shared, TypeConfig};
use crate::{Error, GroupSpec, Leadership, ProposeError};

/// A replica for the time that its group is open on this node; its core may be rebuilt meanwhile.
pub(crate) struct Replica {
    pub(crate) spec: GroupSpec,
    pub(crate) context: Arc<Context>,
    pub(crate) machine: Arc<dyn AnyMachine>,
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) inflight: Arc<Inflight>,
    pub(crate) intake: Intake,
    pub(crate) barrier: Barrier,
    pub(crate) rest: Mutex<Rest>,
    /// None while the core is being rebuilt, and after closing.
    core: RwLock<Option<Core>>,
    closed: AtomicBool,
    keeper: Mutex<TaskGroup>,
    /// The last term whose leader was heard from in this life of the process, and when that was.
    contact: Mutex<Option<(Term, Instant)>>,
    /// The last term whose leader said that it does not lead.
    disclaimed_term: AtomicU64,
}

impl Replica {
    /// Starts a replica over what is stored, `machine` being made from it already.
    pub(crate) async fn start(
        context: Arc<Context>,
        spec: GroupSpec,
        machine: Arc<dyn AnyMachine>,
        stored: ConsensusRows,
    ) -> Result<Arc<Self>, Error> {
        let limits = context.limits;
        let replica = Arc::new(Self {
            spec,
            context,
            machine,
            leadership: watch::Sender::new(Leadership::default()),
            inflight: Inflight::new(limits.inflight_entries_max, limits.inflight_bytes_max),
            intake: Intake::default(),
            barrier: Barrier::default(),
            rest: Mutex::default(),
            core: RwLock::new(None),
            closed: AtomicBool::new(false),
            keeper: Mutex::new(TaskGroup::new()),
            contact: Mutex::new(None),
            disclaimed_term: AtomicU64::new(0),
        });
        replica.run(stored).await?;
        Ok(replica)
    }

    /// The running core, if there is one.
    pub(crate) fn core(&self) -> Option<Core> {
        self.core.read().clone()
    }

    /// Why nothing can be proposed while there is no core.
    pub(crate) fn without_core(&self) -> ProposeError {
        if self.is_closed() {
            return ProposeError::Stopped;
        }
        // The core is being rebuilt, and a leader among the others elected meanwhile.
        ProposeError::NotLeader { leader: None }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Replaces a dead core by one over what is stored.
    pub(crate) async fn rebuild(self: &Arc<Self>) -> Result<(), Error> {
        let dead = self.core.write().take();
        self.set_leadership(Leadership::default());
        if let Some(dead) = dead {
            dead.stop().await;
        }
        let store = self.context.store.group(self.spec.group, self.spec.class);
        let (stored, rows) = ConsensusRows::split(store.rows().await?).map_err(|error| corrupt(&error))?;
        self.machine.rebuild(rows)?;
        self.run(stored).await
    }

    /// Stops the replica for good; its data stay.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let core = self.core.write().take();
        let keeper = std::mem::take(&mut *self.keeper.lock());
        keeper.abort().await;
        if let Some(core) = core {
            core.stop().await;
        }
        self.set_leadership(Leadership::default());
    }

    async fn run(self: &Arc<Self>, stored: ConsensusRows) -> Result<(), Error> {
        let store = self.context.store.group(self.spec.group, self.spec.class);
        // A machine that needs no entry knows up to where only by this. The first replica of a group that began with an image
        // applies nothing before it has sent a snapshot to others.
        if let Some(last) = stored.applied.last {
            self.machine.applied(LogIndex(last.index()));
        }
        let shared = Shared::new(
            (self.spec.group, self.spec.replica),
            store,
            Arc::clone(&self.machine),
            &self.context.limits,
            stored,
        );
        let core = Core::start(&self.context, shared).await?;
        *self.core.write() = Some(core.clone());
        let _here = self.context.data.enter();
        self.keeper.lock().spawn(keep(Arc::clone(self), core));
        Ok(())
    }

    fn set_leadership(&self, leadership: Leadership) {
        let changed = self.leadership.send_if_modified(|known| {
            let changed = *known != leadership;
            *known = leadership;
            changed
        });
        if changed {
            tracing::debug!(group = %self.spec.group, replica = %self.spec.replica, ?leadership, "leadership");
        }
    }

    /// A leader of `term` sent something that this replica took.
    pub(crate) fn note_contact(&self, term: Term) {
        let mut contact = self.contact.lock();
        if contact.is_none_or(|(known, _)| known <= term) {
            *contact = Some((term, Instant::now()));
        }
    }

    pub(crate) fn was_contacted_in(&self, term: Term) -> bool {
        self.contact.lock().is_some_and(|(known, _)| known >= term)
    }

    /// Whether the leader of `term` was heard from lately: so lately that no election timer has run out.
    pub(crate) fn heard_leader_of(&self, term: u64) -> bool {
        let patience = self.context.timings.election_min;
        self.contact.lock().is_some_and(|(known, at)| known.0 == term && at.elapsed() < patience)
    }

    /// The leader of `term` says that it does not lead.
    pub(crate) fn note_disclaimer(&self, term: Term) {
        if self.disclaimed_term.fetch_max(term.0, Ordering::AcqRel) < term.0 {
            self.context.pulses.doubt.notify_one();
        }
    }

    pub(crate) fn is_disclaimed(&self, term: Term) -> bool {
        term.0 > 0 && self.disclaimed_term.load(Ordering::Acquire) == term.0
    }
}

/// Follows one core: publishes who leads, moves the purge pointer, and calls the supervisor when it is dead.
/// openraft's metrics go on saying that all is well after a panic; what tells is that their channel closes.
async fn keep(replica: Arc<Replica>, core: Core) {
    let mut server = core.raft.server_metrics();
    let mut applied_term = core.shared.applied_term.subscribe();
    loop {
        let leadership = leadership_of(&server.borrow_watched(), *applied_term.borrow_and_update());
        replica.set_leadership(leadership);
        if leadership.here {
            stir(&replica);
        } else {
            *replica.rest.lock() = Rest::default();
        }
        pace(&replica);
        if missing(&replica).is_some() {
            replica.context.pulses.doubt.notify_one();
        }
        tokio::select! {
            changed = server.changed() => if changed.is_err() { break },
            _ = applied_term.changed() => {}
            () = core.shared.compaction_due.notified() => {
                if let Err(error) = core.compact(needed_by_followers(&replica, &core)).await {
                    tracing::warn!(group = %replica.spec.group, %error, "log not compacted");
                }
            }
        }
    }
    if !replica.is_closed() {
        metrics::counter!("weir_dead_cores_total").increment(1);
        tracing::error!(group = %replica.spec.group, replica = %replica.spec.replica, "the group's core died");
        // The supervisor is gone only when the node stops.
        let _ = replica.context.dead.send(replica.spec.group).await;
    }
}

/// On the leader, the last entry that the slowest follower within reach is known to have.
fn needed_by_followers(replica: &Replica, core: &Core) -> Option<u64> {
    let metrics = core.raft.metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    let within_reach =
        |id: &u64| membership.get_node(id).is_some_and(|member| replica.context.pulses.hears(member.node));
    let matched = metrics.replication.as_ref()?;
    matched
        .iter()
        .filter(|(id, _)| **id != replica.spec.replica.0 && within_reach(id))
        .map(|(_, last)| last.map_or(0, |last| last.index()))
        .min()
}

fn leadership_of(metrics: &RaftServerMetrics<TypeConfig>, applied_term: u64) -> Leadership {
    let term = metrics.vote.leader_id.term;
    let leads = metrics.state.is_leader();
    // After a restart the stored vote may still name this replica, which does not lead yet.
    let leader = metrics.current_leader.filter(|leader| *leader != metrics.id || leads);
    let located = leader.and_then(|leader| {
        let member = metrics.membership_config.membership().get_node(&leader)?;
        Some((ReplicaId(leader), member.node))
    });
    Leadership {
        term: Term(term),
        leader: located,
        here: leads && leader == Some(metrics.id) && applied_term == term,
    }
}

/// The leader's node, unless it is `node` itself.
pub(crate) fn other_node(leader: Option<NodeId>, node: NodeId) -> Option<NodeId> {
    leader.filter(|leader| *leader != node)
}

fn corrupt(error: &io::Error) -> Error {
    Error::Corrupt(weir_types::Corrupt(error.to_string()))
}
