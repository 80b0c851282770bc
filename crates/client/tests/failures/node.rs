//! A node that listens on loopback.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use weir_client::{Client, ClientOptions};
use weir_proto::v1;
use weir_proto::v1::admin_server::AdminServer;
use weir_proto::v1::group_server::GroupServer;
use weir_proto::v1::queue_server::QueueServer;
use weir_proto::v1::stream_server::StreamServer;
use weir_types::KeyRange;

use crate::group::Positions;
use crate::partition::{Fault, Partition};

/// The one partition of the topics `events` (a stream) and `tasks` (a queue), as long as they are not split.
pub(crate) const GROUP: u32 = 7;
/// Its children.
pub(crate) const CHILDREN: [u32; 2] = [8, 9];

/// Answers of a call that streams them.
pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What a service sees.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) partition: Arc<Mutex<Partition>>,
    pub(crate) children: [Arc<Mutex<Partition>>; 2],
    pub(crate) positions: Arc<Mutex<Positions>>,
    pub(crate) routing: watch::Sender<v1::RoutingTable>,
}

impl Services {
    pub(crate) fn partition_of(&self, group: u32) -> Arc<Mutex<Partition>> {
        let child = CHILDREN.iter().position(|child| *child == group);
        Arc::clone(child.map_or(&self.partition, |child| &self.children[child]))
    }
}

/// A listening node; dropping it stops it.
pub(crate) struct Node {
    pub(crate) address: String,
    pub(crate) partition: Arc<Mutex<Partition>>,
    /// Its children, once it is split.
    pub(crate) children: [Arc<Mutex<Partition>>; 2],
    pub(crate) positions: Arc<Mutex<Positions>>,
    routing: watch::Sender<v1::RoutingTable>,
    server: JoinHandle<()>,
}

impl Node {
    pub(crate) async fn start(partition: Arc<Mutex<Partition>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let routing = watch::Sender::new(table(&[&address]));
        let children: [Arc<Mutex<Partition>>; 2] = Default::default();
        let positions = Arc::default();
        let services = Services {
            partition: Arc::clone(&partition),
            children: children.clone(),
            positions: Arc::clone(&positions),
            routing: routing.clone(),
        };
        let serving = tonic::transport::Server::builder()
            .add_service(AdminServer::new(services.clone()))
            .add_service(StreamServer::new(services.clone()))
            .add_service(QueueServer::new(services.clone()))
            .add_service(GroupServer::new(services))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, partition, children, positions, routing, server }
    }

    pub(crate) async fn alone() -> Self {
        Self::start(Arc::default()).await
    }

    /// Says that these are the nodes, the first of them the leader.
    pub(crate) fn tell_routing(&self, nodes: &[&str]) {
        self.routing.send_replace(table(nodes));
    }

    /// The partition takes in nothing new any more. Nobody is told who has taken over.
    pub(crate) fn seal(&self) {
        self.partition.lock().unwrap().sealed = true;
    }

    /// Says that the children own the keys, a half each.
    pub(crate) fn tell_split(&self) {
        self.routing.send_modify(|table| {
            for topic in &mut table.topics {
                let parent = topic.partitions.remove(0);
                let child = |half: u32| v1::RoutingPartition {
                    partition: half + 1,
                    group_id: CHILDREN[half as usize],
                    key_first: KeyRange::part(half, 2).first().0,
                    key_last: KeyRange::part(half, 2).last().0,
                    parents: vec![GROUP],
                    ..parent.clone()
                };
                topic.partitions.extend([child(0), child(1)]);
                topic.sealed.push(parent);
            }
        });
    }

    /// Says that the partition that was split is gone.
    pub(crate) fn tell_removed(&self) {
        self.routing.send_modify(|table| table.topics.iter_mut().for_each(|topic| topic.sealed.clear()));
    }

    /// Waits until so many records are appended.
    pub(crate) async fn appended(&self, count: u64) {
        self.wait_until(|partition| partition.end >= count).await;
    }

    /// Waits until so many settles are carried out.
    pub(crate) async fn settled(&self, count: usize) {
        self.wait_until(|partition| partition.settled.len() >= count).await;
    }

    /// Waits until no more than so many sessions are still to be refused.
    pub(crate) async fn refusals_left(&self, count: usize) {
        self.wait_until(|partition| partition.refusals.len() <= count).await;
    }

    async fn wait_until(&self, reached: impl Fn(&Partition) -> bool) {
        let waiting = async {
            while !reached(&self.partition.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("served in time");
    }

    pub(crate) fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.partition.lock().unwrap().faults.extend(faults);
    }

    pub(crate) async fn client(&self) -> Client {
        let options = ClientOptions { request_timeout: Duration::from_secs(5), ..self.options() };
        Client::connect(options).await.unwrap()
    }

    pub(crate) fn options(&self) -> ClientOptions {
        ClientOptions::new([self.address.as_str()])
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn table(nodes: &[&str]) -> v1::RoutingTable {
    let topic = |topic_id, name: &str, kind: v1::TopicKind| v1::RoutingTopic {
        topic_id,
        name: name.to_owned(),
        kind: kind as i32,
        partitions: vec![v1::RoutingPartition {
            partition: 0,
            group_id: GROUP,
            key_first: 0,
            key_last: u32::MAX,
            leader: Some(1),
            voters: (1..=nodes.len() as u64).collect(),
            parents: Vec::new(),
        }],
        sealed: Vec::new(),
    };
    let node =
        |(node_id, address): (u64, &&str)| v1::RoutingNode { node_id, client_address: (*address).to_owned() };
    v1::RoutingTable {
        cluster_id: "00000000000000aa".to_owned(),
        version: 1,
        nodes: (1..).zip(nodes).map(node).collect(),
        topics: vec![topic(1, "events", v1::TopicKind::Stream), topic(2, "tasks", v1::TopicKind::Queue)],
    }
}

/// A failed call that this fake does not serve.
pub(crate) fn not_faked<T>() -> Result<T, Status> {
    Err(Status::unimplemented("not faked"))
}
