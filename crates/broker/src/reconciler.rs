//! Makes this node's replicas match the registry, and drives the groups that this node leads: forms them, brings
//! their policy and membership to what the registry says, and gives leadership back to where it belongs.
//!
//! Everything is idempotent and starts from what is: a pass that fails half way is repeated.

mod duties;
mod recovery;
pub(crate) mod replicas;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, warn};
use weir_metadata::{Feature, Registry};
use weir_types::{GroupId, Incarnation, LogIndex, ReplicaId, Term};

use crate::broker::Broker;
use crate::founding::NodeOptions;
use crate::node::peer;
use crate::remote::Member;

/// Pause before a pass that failed in part is repeated.
const RETRY: Duration = Duration::from_millis(200);
/// How long after the last change leaders are brought back to their preferred nodes: long enough for a node
/// that has just come back to catch up.
const BALANCE_AFTER: Duration = Duration::from_secs(5);

/// What the reconciler remembers between passes.
#[derive(Default)]
pub(crate) struct Memory {
    /// Registry version that the replicas were last brought in line with.
    version: Option<u64>,
    /// The terms in which a led group was last put in order: its sessions, its policy.
    greeted: BTreeMap<GroupId, Term>,
    /// Where the log ended when a replica that is to vote was first looked at.
    marks: BTreeMap<(GroupId, ReplicaId), LogIndex>,
    /// When the leadership of a group was last not handed over.
    handovers: BTreeMap<GroupId, Instant>,
}

impl Memory {
    /// How far replicas were in groups that this node does not lead any more, or that are gone, is of no use.
    fn forget_but(&mut self, led: &BTreeMap<GroupId, ReplicaId>) {
        self.marks.retain(|(group, _), _| led.contains_key(group));
        self.handovers.retain(|group, _| led.contains_key(group));
    }
}

/// Starts the reconciler's task.
pub(crate) fn start(broker: &Broker, options: &NodeOptions, incarnation: Incarnation) {
    let nudge = Arc::new(Notify::new());
    let mut tasks = broker.inner().tasks.lock();
    tasks.spawn(watch_metadata(broker.clone(), Arc::clone(&nudge)));
    if let Some(grace) = options.recover_after {
        tasks.spawn(recovery::run(broker.clone(), grace));
    }
    tasks.spawn(register(broker.clone(), options.clone(), incarnation));
    tasks.spawn(run(broker.clone(), nudge));
}

/// The registry or its leader changed: look again.
async fn watch_metadata(broker: Broker, nudge: Arc<Notify>) {
    let partition = broker.metadata().partition().clone();
    let mut applied = partition.applied();
    let mut leadership = partition.leadership();
    // What changed before anyone watched: a node that restarts may have heard of the leader already, and nothing may
    // change for days.
    nudge.notify_one();
    let mut shown = broker.registry(Registry::version);
    loop {
        if broker.allows(Feature::QuietGroups) {
            broker.inner().groups.let_rest();
        }
        let changed = tokio::select! {
            changed = applied.changed() => changed.is_ok(),
            changed = leadership.changed() => changed.is_ok(),
        };
        if !changed {
            return;
        }
        // A pass that waits for something must not keep from clients that keys have new owners.
        let version = broker.registry(Registry::version);
        if version != shown {
            shown = version;
            replicas::bump(&broker);
        }
        nudge.notify_one();
    }
}

/// Tells the registry this node's name, addresses and rack, if they are not those that it knows.
async fn register(broker: Broker, options: NodeOptions, incarnation: Incarnation) {
    let patience = Duration::from_hours(1);
    broker.metadata().wait_for(patience, |registry| registry.cluster_id().is_some()).await;
    let known = broker.registry(|registry| {
        let node = registry.node_of_incarnation(incarnation)?;
        Some((node.addresses.clone(), node.name.clone(), node.rack.clone()))
    });
    if known == Some((options.addresses.clone(), options.name.clone(), options.rack.clone())) {
        return;
    }
    let registration = || options.registration(incarnation, broker.level());
    while let Err(error) = broker.metadata().propose(registration()).await {
        // This node's copy of the registry may not know yet that the level was raised.
        if error.kind.is_final() && error.code != "build-too-old" {
            error!(%error, "the cluster refuses this node's addresses and goes on using those that it knows");
            return;
        }
        warn!(%error, "the cluster does not know this node's addresses yet");
        // The registry's leader refused or was not reached; nothing tells when it will take it.
        tokio::time::sleep(broker.inner().runtime.jittered(RETRY)).await;
    }
}

async fn run(broker: Broker, nudge: Arc<Notify>) {
    let memory = Mutex::new(Memory::default());
    let mut retry: Option<Instant> = None;
    let mut balance: Option<Instant> = None;
    loop {
        let now = Instant::now();
        let wake = [retry, balance].into_iter().flatten().min();
        tokio::select! {
            // A pass that failed rests first: what it proposed may itself have rung.
            () = broker.inner().seeded.notified() => memory.lock().version = None,
            () = nudge.notified(), if retry.is_none() => balance = Some(Instant::now() + BALANCE_AFTER),
            () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
        }
        let now = Instant::now();
        let opened = replicas::reconcile(&broker, &memory, &nudge).await;
        let done = duties::perform(&broker, &memory).await;
        if let Err(error) = opened.and(done) {
            debug!(%error, "the reconciler will try again");
            retry = Some(Instant::now() + broker.inner().runtime.jittered(RETRY));
        } else {
            retry = None;
        }
        if balance.is_some_and(|at| at <= now) {
            balance = None;
            duties::balance_leaders(&broker).await;
        }
    }
}

/// The address book follows the registry.
fn update_addresses(broker: &Broker) {
    let members: Vec<Member> = broker.registry(|registry| {
        let members = registry.members().map(|node| Member {
            node: node.id,
            incarnation: node.incarnation,
            addresses: node.addresses.clone(),
        });
        members.collect()
    });
    if members.is_empty() {
        return;
    }
    let inner = broker.inner();
    inner.groups.set_peers(members.iter().map(peer).collect());
    inner.directory.replace(members.into_iter().map(|m| (m.node, m.addresses)).collect());
}
