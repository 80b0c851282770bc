//! A network whose links can be cut (connections between two nodes break, and new ones are refused) or frozen
//! (connections stay, and nothing comes through).

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
    frozen: watch::Sender<BTreeSet<(u64, u64)>>,
    addresses: Mutex<BTreeMap<String, u64>>,
}

impl Switchboard {
    pub(crate) fn register(&self, address: &str, node: u64) {
        self.addresses.lock().insert(address.to_owned(), node);
    }

    pub(crate) fn cut(&self, a: u64, b: u64) {
        self.cut.send_if_modified(|cut| cut.insert((a.min(b), a.max(b))));
    }

    pub(crate) fn freeze(&self, a: u64, b: u64) {
        self.frozen.send_if_modified(|frozen| frozen.insert((a.min(b), a.max(b))));
    }

    pub(crate) fn heal(&self) {
        self.cut.send_modify(BTreeSet::clear);
        self.frozen.send_modify(BTreeSet::clear);
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
            let mut frozen = board.frozen.subscribe();
            tokio::spawn(async move {
                tokio::select! {
                    _ = while_thawed(copy_bidirectional(&mut stream, &mut far), &mut frozen, link) => {}
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

/// Runs `future`, but not while `link` is frozen.
async fn while_thawed<T>(
    future: impl Future<Output = T>,
    frozen: &mut watch::Receiver<BTreeSet<(u64, u64)>>,
    link: (u64, u64),
) -> Option<T> {
    tokio::pin!(future);
    loop {
        frozen.wait_for(|frozen| !frozen.contains(&link)).await.ok()?;
        tokio::select! {
            biased;
            froze = frozen.wait_for(|frozen| frozen.contains(&link)) => drop(froze.ok()?),
            output = &mut future => return Some(output),
        }
    }
}
