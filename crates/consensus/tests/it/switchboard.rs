//! A network whose links can be cut: connections between two nodes break, and new ones are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{copy_bidirectional, duplex};
use tokio::sync::watch;
use weir_runtime::{BoxFuture, BoxListener, BoxStream, Network, TcpNetwork};

#[derive(Default)]
pub(crate) struct Switchboard {
    cut: watch::Sender<BTreeSet<(u64, u64)>>,
    addresses: Mutex<BTreeMap<String, u64>>,
}

impl Switchboard {
    pub(crate) fn register(&self, address: &str, node: u64) {
        self.addresses.lock().insert(address.to_owned(), node);
    }

    pub(crate) fn cut(&self, a: u64, b: u64) {
        self.cut.send_if_modified(|cut| cut.insert((a.min(b), a.max(b))));
    }

    pub(crate) fn heal(&self) {
        self.cut.send_modify(BTreeSet::clear);
    }
}

/// The network as one node sees it.
pub(crate) struct NodeNetwork {
    pub(crate) node: u64,
    pub(crate) board: Arc<Switchboard>,
}

impl Network for NodeNetwork {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        let (board, address) = (Arc::clone(&self.board), address.to_owned());
        let peer = board.addresses.lock().get(&address).copied().unwrap_or_default();
        let link = (self.node.min(peer), self.node.max(peer));
        Box::pin(async move {
            let mut cut = board.cut.subscribe();
            if cut.borrow().contains(&link) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let mut stream = TcpNetwork.connect(&address).await?;
            let (near, mut far) = duplex(256 << 10);
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut stream, &mut far) => {}
                    _ = cut.wait_for(|cut| cut.contains(&link)) => {}
                }
            });
            Ok(Box::new(near) as BoxStream)
        })
    }

    fn bind(&self, address: &str) -> BoxFuture<'static, io::Result<BoxListener>> {
        TcpNetwork.bind(address)
    }
}
