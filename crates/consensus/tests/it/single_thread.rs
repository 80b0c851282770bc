//! The shape in which a simulator runs the crate: everything a task on one thread, streams in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::duplex;
use tokio::sync::mpsc;
use weir_consensus::{Groups, Limits, Machine, Options, PeerAddress};
use weir_runtime::{
    BoxFuture, BoxListener, BoxStream, Listener, Network, Runtime, SeededRandom, SystemClock, Threads,
};
use weir_storage::{MemoryDisk, Store, WriterMode};
use weir_types::{Incarnation, NodeId, ReplicaId};

use crate::cluster::{CLUSTER, Journal, spec, timings};

type Arrivals = mpsc::Sender<(BoxStream, String)>;

#[derive(Clone, Default)]
struct Wires(Arc<Mutex<BTreeMap<String, Arrivals>>>);

struct WireListener {
    arrivals: mpsc::Receiver<(BoxStream, String)>,
    address: String,
}

impl Network for Wires {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        let listener = self.0.lock().get(address).cloned();
        Box::pin(async move {
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let (near, far) = duplex(64 << 10);
            let arrived = (Box::new(far) as BoxStream, "wire".to_owned());
            listener.ok_or_else(refused)?.send(arrived).await.map_err(|_| refused())?;
            Ok(Box::new(near) as BoxStream)
        })
    }

    fn bind(&self, address: &str) -> BoxFuture<'static, io::Result<BoxListener>> {
        let (sender, arrivals) = mpsc::channel(16);
        let address = address.to_owned();
        self.0.lock().insert(address.clone(), sender);
        Box::pin(async move { Ok(Box::new(WireListener { arrivals, address }) as BoxListener) })
    }
}

impl Listener for WireListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async {
            match self.arrivals.recv().await {
                Some(arrived) => Ok(arrived),
                None => std::future::pending().await,
            }
        })
    }

    fn local_address(&self) -> io::Result<String> {
        Ok(self.address.clone())
    }
}

#[tokio::test(flavor = "current_thread")]
async fn three_nodes_run_as_tasks_on_one_thread() {
    let wires = Wires::default();
    let mut nodes = Vec::new();
    for id in 1..=3u64 {
        let mut options = weir_storage::Options::memory(MemoryDisk::new());
        options.writer = WriterMode::Task(Arc::new(|task| drop(tokio::spawn(task))));
        let (store, _) = Store::start(options).await.unwrap();
        let random = Arc::new(SeededRandom::new(id));
        let options = Options {
            cluster: CLUSTER,
            node: NodeId(id),
            incarnation: Incarnation(id),
            listen: format!("node-{id}:1"),
            timings: timings(),
            limits: Limits::default(),
            runtime: Runtime::new(Arc::new(SystemClock), random, Arc::new(wires.clone()), Threads::Tasks),
            store,
        };
        let node = Groups::start(options).await.unwrap();
        node.let_rest();
        nodes.push(node);
    }
    let mut groups = Vec::new();
    for (node, id) in nodes.iter().zip(1u64..) {
        let address = |peer: u64| PeerAddress { address: format!("node-{peer}:1"), incarnation: None };
        node.set_peers((1..=3).map(|peer| (NodeId(peer), address(peer))).collect());
        groups.push(node.open(spec(id), Journal::restore).await.unwrap());
    }
    groups[0].initialize((1..=3).map(|id| (ReplicaId(100 + id), NodeId(id))).collect()).await.unwrap();
    let mut leadership = groups[0].leadership();
    let led = leadership.wait_for(|known| known.here);
    tokio::time::timeout(Duration::from_secs(20), led).await.unwrap().unwrap();
    for _ in 0..20 {
        groups[0].submit(Bytes::from_static(b"x")).await.unwrap();
    }
    nodes[0].hand_over(Duration::from_secs(5)).await;
    assert!(!groups[0].leadership().borrow().here);
    for node in nodes {
        node.stop().await;
    }
}
