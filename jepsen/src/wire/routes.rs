//! Which partitions there are and who leads them, as the nodes tell it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use weir_checker::Op;
use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;
use weir_types::{KeyHash, KeyRange};

use super::Link;
use crate::history::History;
use crate::nemesis::{Leaders, Led};

/// Pause before a node that broke its watch off is asked again.
const AGAIN: Duration = Duration::from_millis(300);
/// How often terms are asked for.
const TERMS: Duration = Duration::from_millis(500);
/// How long an answer about terms may take.
const TERMS_DEADLINE: Duration = Duration::from_secs(3);
/// How long a watch may take to open.
const OPEN_DEADLINE: Duration = Duration::from_secs(3);

/// How many key hashes there are.
const KEYS: u64 = 1 << 32;

/// A partition and where its leader was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The topic.
    pub topic: String,
    /// Its number in the topic.
    pub partition: u32,
    /// The number by which nodes know it.
    pub group: u32,
    /// The leader's client address.
    pub leader: Option<String>,
    /// The voters' nodes.
    pub voters: Vec<String>,
    /// The key hashes that it owns, or owned until it was sealed.
    pub range: KeyRange,
    /// It takes in nothing any more: others own its keys.
    pub sealed: bool,
    /// The partitions whose keys it took over, by the number by which nodes know them.
    pub parents: Vec<u32>,
}

/// All partitions, and all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    partitions: BTreeMap<u32, Route>,
    /// Client address by name.
    nodes: BTreeMap<String, String>,
    names: BTreeMap<u64, String>,
}

impl Routes {
    /// Knows the nodes and nothing else.
    pub fn new(nodes: &[(String, String)]) -> Self {
        Self { nodes: nodes.iter().cloned().collect(), ..Self::default() }
    }

    /// Client addresses of all nodes.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.values().cloned().collect()
    }

    /// The name of the node that listens there.
    pub fn name(&self, address: &str) -> Option<&str> {
        self.nodes.iter().find(|(_, at)| *at == address).map(|(name, _)| name.as_str())
    }

    /// The partitions of a topic, sealed ones too, by number.
    pub fn of(&self, topic: &str) -> Vec<Route> {
        let mut found: Vec<_> =
            self.partitions.values().filter(|route| route.topic == topic).cloned().collect();
        found.sort_by_key(|route| route.partition);
        found
    }

    /// Those of them that own keys, by range; none until they are all known.
    pub fn owners(&self, topic: &str) -> Vec<Route> {
        let mut owners = self.of(topic);
        owners.retain(|route| !route.sealed);
        owners.sort_by_key(|route| route.range.first());
        let width = |route: &Route| u64::from(route.range.last().0 - route.range.first().0) + 1;
        if owners.iter().map(width).sum::<u64>() == KEYS { owners } else { Vec::new() }
    }

    /// Who took over keys since `before`: each partition that is new and has parents.
    fn reshaped_since(&self, before: &Self) -> Vec<Op> {
        let fresh = self.partitions.values().filter(|route| !before.partitions.contains_key(&route.group));
        let born = fresh.filter(|route| !route.parents.is_empty());
        let number = |group: &u32| self.partitions.get(group).map(|route| route.partition);
        let op = |route: &Route| Op::Reshaped {
            topic: route.topic.clone(),
            parents: route.parents.iter().filter_map(number).collect(),
            children: vec![route.partition],
        };
        born.map(op).collect()
    }

    /// A partition by the number by which nodes know it.
    pub fn group(&self, group: u32) -> Option<&Route> {
        self.partitions.get(&group)
    }

    /// As the nemesis wants it.
    pub fn leaders(&self) -> Leaders {
        let mut partitions: Vec<_> = self
            .partitions
            .values()
            .map(|route| Led {
                topic: route.topic.clone(),
                partition: route.partition,
                leader: route.leader.as_ref().and_then(|at| self.name(at)).map(str::to_owned),
                voters: route.voters.clone(),
            })
            .collect();
        partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        Leaders { partitions }
    }

    /// Takes over a node's table. A node that knows no leader does not know better than one that does, and neither does one
    /// that has not heard that a partition was sealed.
    fn take(&mut self, table: v1::RoutingTable) -> bool {
        let before = self.clone();
        let addresses: BTreeMap<u64, String> =
            table.nodes.into_iter().map(|node| (node.node_id, node.client_address)).collect();
        for (id, address) in &addresses {
            if let Some(name) = before.name(address) {
                self.names.insert(*id, name.to_owned());
            }
        }
        for topic in table.topics {
            for partition in topic.partitions {
                self.put(&topic.name, partition, false, &addresses);
            }
            for partition in topic.sealed {
                self.put(&topic.name, partition, true, &addresses);
            }
        }
        *self != before
    }

    fn put(
        &mut self,
        topic: &str,
        partition: v1::RoutingPartition,
        sealed: bool,
        addresses: &BTreeMap<u64, String>,
    ) {
        let Some(range) = KeyRange::new(KeyHash(partition.key_first), KeyHash(partition.key_last)) else {
            return;
        };
        let known = self.partitions.get(&partition.group_id);
        let leader = partition.leader.and_then(|id| addresses.get(&id).cloned());
        let voters = partition.voters.iter().filter_map(|id| self.names.get(id).cloned()).collect();
        let route = Route {
            topic: topic.to_owned(),
            partition: partition.partition,
            group: partition.group_id,
            leader: leader.or_else(|| known.and_then(|known| known.leader.clone())),
            voters,
            range,
            sealed: sealed || known.is_some_and(|known| known.sealed),
            parents: partition.parents,
        };
        self.partitions.insert(route.group, route);
    }
}

/// Follows every node's routing table, and writes down who leads in which term.
pub struct Watcher {
    routes: watch::Sender<Arc<Routes>>,
    history: History,
    /// The highest term seen, by topic and partition.
    terms: Mutex<BTreeMap<(String, u32), u64>>,
}

impl Watcher {
    /// Starts to follow these nodes (name and client address), until `stop`.
    pub fn start(
        nodes: &[(String, String)],
        history: History,
        stop: &CancellationToken,
    ) -> watch::Receiver<Arc<Routes>> {
        let (routes, receiver) = watch::channel(Arc::new(Routes::new(nodes)));
        let watcher = Arc::new(Self { routes, history, terms: Mutex::default() });
        for (_, address) in nodes {
            let (watcher, address, stop) = (Arc::clone(&watcher), address.clone(), stop.clone());
            tokio::spawn(async move { stop.run_until_cancelled(watcher.follow(&address)).await });
        }
        let (addresses, stop) = (nodes.iter().map(|(_, at)| at.clone()).collect::<Vec<_>>(), stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(watcher.terms(addresses)).await });
        receiver
    }

    async fn follow(&self, address: &str) {
        loop {
            if let Err(status) = self.follow_once(address).await {
                let _ = status;
            }
            sleep(AGAIN).await;
        }
    }

    async fn follow_once(&self, address: &str) -> Result<(), tonic::Status> {
        let late = |_| tonic::Status::deadline_exceeded("the watch did not open");
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| tonic::Status::invalid_argument(error.to_string()))?
            .http2_keep_alive_interval(OPEN_DEADLINE)
            .keep_alive_timeout(OPEN_DEADLINE)
            .keep_alive_while_idle(true);
        let channel = timeout(OPEN_DEADLINE, endpoint.connect())
            .await
            .map_err(late)?
            .map_err(|error| tonic::Status::unavailable(error.to_string()))?;
        let mut client = AdminClient::new(channel);
        let asked = timeout(OPEN_DEADLINE, client.watch_routing(v1::WatchRoutingRequest {})).await;
        let mut tables = asked.map_err(late)??.into_inner();
        while let Some(table) = tables.message().await? {
            let mut reshaped = Vec::new();
            self.routes.send_if_modified(|routes| {
                let mut changed = Routes::clone(routes);
                let differs = changed.take(table);
                reshaped = changed.reshaped_since(routes);
                *routes = Arc::new(changed);
                differs
            });
            for op in reshaped {
                self.history.note(op);
            }
        }
        Ok(())
    }

    /// Asks the nodes in turn for all terms.
    async fn terms(&self, addresses: Vec<String>) {
        let mut link = Link::default();
        for address in addresses.iter().cycle() {
            sleep(TERMS).await;
            let from = self.history.now();
            let answer = link
                .call(address, TERMS_DEADLINE, |channel| async move {
                    AdminClient::new(channel).cluster_status(v1::ClusterStatusRequest {}).await
                })
                .await;
            if let Ok(status) = answer {
                self.note_terms(from, address, &status);
            }
        }
    }

    fn note_terms(&self, from: u64, address: &str, status: &v1::ClusterStatusResponse) {
        let name =
            |id: u64| status.nodes.iter().find(|node| node.node_id == id).map(|node| node.name.clone());
        let asked = self.routes.borrow().name(address).unwrap_or_default().to_owned();
        for partition in &status.partitions {
            // Without replicas the leader itself did not answer: what is said of it is hearsay.
            let Some(leader) = partition.leader.filter(|_| !partition.replicas.is_empty()).and_then(name)
            else {
                continue;
            };
            let key = (partition.topic.clone(), partition.partition);
            if self.terms.lock().insert(key, partition.term) == Some(partition.term) {
                continue;
            }
            let (topic, partition, term) = (partition.topic.clone(), partition.partition, partition.term);
            self.history.saw(from, &asked, Op::Leader { topic, partition, term, leader });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: u32, keys: (u32, u32), parents: &[u32]) -> v1::RoutingPartition {
        v1::RoutingPartition {
            partition: number,
            group_id: 10 + number,
            key_first: keys.0,
            key_last: keys.1,
            parents: parents.to_vec(),
            ..v1::RoutingPartition::default()
        }
    }

    fn table(partitions: Vec<v1::RoutingPartition>, sealed: Vec<v1::RoutingPartition>) -> v1::RoutingTable {
        let topic =
            v1::RoutingTopic { name: "t".to_owned(), partitions, sealed, ..v1::RoutingTopic::default() };
        v1::RoutingTable { topics: vec![topic], ..v1::RoutingTable::default() }
    }

    fn numbers(routes: &[Route]) -> Vec<u32> {
        routes.iter().map(|route| route.partition).collect()
    }

    #[test]
    fn owners_cover_all_keys_and_a_sealed_partition_stays_sealed_whoever_tells_an_older_table() {
        let half = u32::MAX / 2;
        let before = table(vec![partition(0, (0, u32::MAX), &[])], Vec::new());
        let children = vec![partition(1, (0, half), &[10]), partition(2, (half + 1, u32::MAX), &[10])];
        let after = table(children.clone(), vec![partition(0, (0, u32::MAX), &[])]);
        let mut routes = Routes::default();
        assert!(routes.take(table(children[..1].to_vec(), Vec::new())));
        assert!(routes.owners("t").is_empty(), "half of the keys have no owner that is known");

        let mut routes = Routes::default();
        assert!(routes.take(before.clone()));
        assert_eq!(numbers(&routes.owners("t")), [0]);
        let known = routes.clone();
        assert!(routes.take(after));
        assert!(!routes.take(before));
        assert_eq!(numbers(&routes.owners("t")), [1, 2]);
        assert_eq!(numbers(&routes.of("t")), [0, 1, 2]);
        let reshaped =
            |child| Op::Reshaped { topic: "t".to_owned(), parents: vec![0], children: vec![child] };
        assert_eq!(routes.reshaped_since(&known), [reshaped(1), reshaped(2)]);
        assert!(routes.reshaped_since(&routes).is_empty());
    }
}
