//! What all replicas of a node have in common.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use weir_runtime::Runtime;
use weir_storage::Store;
use weir_types::{GroupId, NodeId};

use crate::liveness::Pulses;
use crate::snapshot::SnapshotSlots;
use crate::transport::Peers;
use crate::{Limits, Timings};

/// One per node.
pub(crate) struct Context {
    pub(crate) node: NodeId,
    pub(crate) timings: Timings,
    pub(crate) limits: Limits,
    pub(crate) runtime: Runtime,
    pub(crate) store: Store,
    pub(crate) peers: Arc<Peers>,
    pub(crate) pulses: Arc<Pulses>,
    pub(crate) slots: Arc<SnapshotSlots>,
    /// Where replicas run.
    pub(crate) data: Handle,
    /// Tells the supervisor of a group whose core died.
    pub(crate) dead: mpsc::Sender<GroupId>,
    /// All peers understand rolls, so groups may fall quiet.
    pub(crate) may_rest: AtomicBool,
}
