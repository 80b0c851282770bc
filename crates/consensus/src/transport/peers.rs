//! The address book and the lanes to everybody in it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use weir_runtime::{Runtime, TaskGroup};
use weir_types::{Incarnation, NodeId};

use super::hello::{Connected, Identity, LaneKind, dial};
use super::lane::{LaneContext, run};
use super::{Answer, Call, Lane, Unreachable};
use crate::liveness::Pulses;
use crate::{Limits, PeerAddress, Timings};

/// All peers of a node.
pub(crate) struct Peers {
    us: Identity,
    timings: Timings,
    limits: Limits,
    runtime: Runtime,
    pulses: Arc<Pulses>,
    /// Where control lanes run.
    control: Handle,
    /// Where data lanes run.
    data: Handle,
    book: Mutex<BTreeMap<NodeId, Peer>>,
}

struct Peer {
    address: watch::Sender<PeerAddress>,
    data: Lane,
    control: Lane,
    // Dropping it ends the lanes' tasks.
    _tasks: TaskGroup,
}

impl Peers {
    pub(crate) fn new(
        us: Identity,
        (timings, limits): (Timings, Limits),
        runtime: Runtime,
        pulses: Arc<Pulses>,
        (control, data): (Handle, Handle),
    ) -> Self {
        Self { us, timings, limits, runtime, pulses, control, data, book: Mutex::default() }
    }

    /// Replaces the address book. Lanes to nodes that stay at their address are not disturbed.
    pub(crate) fn set(&self, peers: BTreeMap<NodeId, PeerAddress>) {
        let mut book = self.book.lock();
        book.retain(|node, _| peers.contains_key(node));
        self.pulses.retain(|node| peers.contains_key(&node));
        for (node, address) in peers {
            if node == self.us.node {
                continue;
            }
            if let Some(peer) = book.get(&node) {
                peer.address.send_if_modified(|known| {
                    let changed = *known != address;
                    *known = address;
                    changed
                });
            } else {
                self.pulses.add(node);
                book.insert(node, self.connect(node, address));
            }
        }
    }

    /// The incarnation on record of a node.
    pub(crate) fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        self.book.lock().get(&node)?.address.borrow().incarnation
    }

    /// Asks a node over one of its lanes; what belongs on a control lane that is dead takes the data lane, so that
    /// leaders are known and elected all the same.
    pub(crate) async fn call(
        &self,
        node: NodeId,
        kind: LaneKind,
        call: Call,
        payloads: Vec<bytes::Bytes>,
    ) -> Result<Answer, Unreachable> {
        let lane = {
            let book = self.book.lock();
            let peer = book.get(&node).ok_or_else(|| Unreachable(format!("node {node} has no address")))?;
            match kind {
                LaneKind::Control if !self.pulses.hears_data_only(node) => peer.control.clone(),
                _ => peer.data.clone(),
            }
        };
        lane.call(call, payloads).await
    }

    /// A new connection for a snapshot.
    pub(crate) async fn dial_snapshot(&self, node: NodeId) -> io::Result<Connected> {
        let address = self.book.lock().get(&node).map(|peer| peer.address.borrow().clone());
        let address = address.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let network = self.runtime.network_shared();
        dial(&*network, self.us, node, &address, LaneKind::Snapshot).await
    }

    /// Resolves when a node that was heard has fallen silent for long.
    pub(crate) fn silence(&self, node: NodeId) -> impl Future<Output = ()> + use<> {
        self.pulses.silence(node, LaneKind::Snapshot)
    }

    /// Ends all lanes.
    pub(crate) fn close(&self) {
        self.book.lock().clear();
    }

    fn connect(&self, node: NodeId, address: PeerAddress) -> Peer {
        let address = watch::Sender::new(address);
        let (data, data_queue) = Lane::new(self.limits.peer_queue_bytes_max);
        let (control, control_queue) = Lane::new(self.limits.peer_queue_bytes_max);
        let context = |kind| LaneContext {
            us: self.us,
            peer: node,
            kind,
            address: address.subscribe(),
            timings: self.timings,
            runtime: self.runtime.clone(),
            pulses: Arc::clone(&self.pulses),
        };
        let mut tasks = TaskGroup::new();
        {
            let _here = self.control.enter();
            tasks.spawn(run(context(LaneKind::Control), control_queue));
        }
        {
            let _here = self.data.enter();
            tasks.spawn(run(context(LaneKind::Data), data_queue));
        }
        Peer { address, data, control, _tasks: tasks }
    }
}
