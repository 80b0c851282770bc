//! Where nodes are, for redirects and the peer transport: a copy of the registry's address book that is read
//! on every refusal, so it must not wait for the metadata machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use weir_metadata::Addresses;
use weir_types::NodeId;

/// The address book. Cheap to clone; all clones see the same.
#[derive(Clone)]
pub(crate) struct Directory {
    this_node: NodeId,
    nodes: Arc<RwLock<BTreeMap<NodeId, Addresses>>>,
}

impl Directory {
    pub(crate) fn new(this_node: NodeId) -> Self {
        Self { this_node, nodes: Arc::default() }
    }

    /// The node that we are.
    pub(crate) fn this_node(&self) -> NodeId {
        self.this_node
    }

    /// Replaces what is known.
    pub(crate) fn replace(&self, nodes: BTreeMap<NodeId, Addresses>) {
        *self.nodes.write() = nodes;
    }

    /// Where clients reach a node.
    pub(crate) fn client_address(&self, node: NodeId) -> Option<String> {
        self.nodes.read().get(&node).map(|addresses| addresses.client.clone())
    }
}
