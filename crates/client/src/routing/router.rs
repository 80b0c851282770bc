//! Which node to ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use weir_types::GroupId;

use super::table::RoutingTable;

/// Redirects remembered; a client of more partitions than that forgets them all and is redirected again.
const HINTS_MAX: usize = 65_536;

/// Whom a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The leader of this group.
    Leader(GroupId),
    /// Any node.
    Any,
}

/// The routing table, and what redirects have told since it came.
pub(crate) struct Router {
    seeds: Vec<String>,
    table: watch::Sender<Arc<RoutingTable>>,
    hints: Mutex<BTreeMap<GroupId, String>>,
    turn: AtomicUsize,
}

impl Router {
    pub(crate) fn new(seeds: Vec<String>, turn: usize) -> Self {
        let (table, _) = watch::channel(Arc::default());
        Self { seeds, table, hints: Mutex::default(), turn: AtomicUsize::new(turn) }
    }

    pub(crate) fn table(&self) -> Arc<RoutingTable> {
        Arc::clone(&self.table.borrow())
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<RoutingTable>> {
        self.table.subscribe()
    }

    /// Resolves when a table comes that names another leader of a group than the tables before it, and than the node at
    /// `address`, which was asked.
    pub(crate) async fn leader_moved(&self, group: GroupId, address: &str) {
        let mut tables = self.watch();
        let before = tables.borrow_and_update().leader(group).map(str::to_owned);
        let moved = tables.wait_for(|table| {
            table.leader(group).is_some_and(|now| now != address && Some(now) != before.as_deref())
        });
        if moved.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves when the table shows that a partition is sealed. Cancel safe.
    pub(crate) async fn sealed(&self, topic: &str, group: GroupId) {
        let is_sealed = |table: &Arc<RoutingTable>| {
            let topic = table.topic(topic);
            topic.is_some_and(|topic| topic.sealed.iter().any(|partition| partition.group == group))
        };
        if self.watch().wait_for(is_sealed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Takes in a table. Versions are a node's own, so that those of two nodes cannot be compared: the table of the node
    /// that is watched now is the one that counts. If that node lags behind, redirects make up for it.
    pub(crate) fn update(&self, table: RoutingTable) {
        self.table.send_replace(Arc::new(table));
        self.hints.lock().clear();
    }

    /// A node named the leader of a group.
    pub(crate) fn learn_leader(&self, group: GroupId, address: String) {
        let mut hints = self.hints.lock();
        if hints.len() >= HINTS_MAX {
            hints.clear();
        }
        hints.insert(group, address);
    }

    /// The node at `address` did not serve a group: what was learned about it is void.
    pub(crate) fn forget_leader(&self, group: GroupId, address: &str) {
        let mut hints = self.hints.lock();
        if hints.get(&group).is_some_and(|hint| hint == address) {
            hints.remove(&group);
        }
    }

    /// Whom to ask at the given attempt: for a leader, 0 is the best guess, and the other voters follow.
    pub(crate) fn pick(&self, target: Target, attempt: usize) -> String {
        let candidates = self.candidates(target);
        candidates[attempt % candidates.len()].clone()
    }

    /// The first attempt of an operation that any node can carry out: they take turns.
    pub(crate) fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    fn candidates(&self, target: Target) -> Vec<String> {
        let table = self.table();
        let mut candidates: Vec<String> = Vec::new();
        let mut add = |address: &str| {
            if !candidates.iter().any(|known| known == address) {
                candidates.push(address.to_owned());
            }
        };
        if let Target::Leader(group) = target {
            if let Some(hint) = self.hints.lock().get(&group) {
                add(hint);
            }
            table.leader(group).into_iter().for_each(&mut add);
            table.voters(group).for_each(&mut add);
        }
        if candidates.is_empty() {
            candidates = table.addresses().map(str::to_owned).collect();
            if candidates.is_empty() {
                candidates.clone_from(&self.seeds);
            }
        }
        candidates
    }

    /// Addresses to find the cluster by: the nodes known now, then the seeds.
    pub(crate) fn entrances(&self) -> Vec<String> {
        let table = self.table();
        let mut entrances: Vec<String> = table.addresses().map(str::to_owned).collect();
        entrances
            .extend(self.seeds.iter().filter(|seed| table.addresses().all(|known| known != *seed)).cloned());
        entrances
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use weir_proto::v1;

    use super::*;

    fn table(version: u64, leader: Option<u64>) -> RoutingTable {
        let node = |node_id: u64| v1::RoutingNode { node_id, client_address: format!("n{node_id}:1") };
        RoutingTable::from_wire(v1::RoutingTable {
            cluster_id: String::new(),
            version,
            nodes: (1..=3).map(node).collect(),
            topics: vec![v1::RoutingTopic {
                topic_id: 1,
                name: "t".to_owned(),
                kind: v1::TopicKind::Queue as i32,
                partitions: vec![v1::RoutingPartition {
                    partition: 0,
                    group_id: 7,
                    key_first: 0,
                    key_last: u32::MAX,
                    leader,
                    voters: vec![1, 2, 3],
                    parents: Vec::new(),
                }],
                sealed: Vec::new(),
            }],
        })
    }

    const GROUP: Target = Target::Leader(GroupId(7));

    fn picks(router: &Router, count: usize) -> Vec<String> {
        (0..count).map(|attempt| router.pick(GROUP, attempt)).collect()
    }

    #[test]
    fn the_leader_is_asked_first_and_then_the_other_voters() {
        let router = Router::new(vec!["seed:1".to_owned()], 0);
        router.update(table(1, Some(2)));
        assert_eq!(picks(&router, 4), ["n2:1", "n1:1", "n3:1", "n2:1"]);
    }

    #[test]
    fn a_redirect_beats_the_table_until_it_is_disproved_or_a_newer_table_comes() {
        let router = Router::new(vec!["seed:1".to_owned()], 0);
        router.update(table(1, Some(2)));
        router.learn_leader(GroupId(7), "n3:1".to_owned());
        assert_eq!(picks(&router, 1), ["n3:1"]);
        router.forget_leader(GroupId(7), "n1:1");
        assert_eq!(picks(&router, 1), ["n3:1"]);
        router.forget_leader(GroupId(7), "n3:1");
        assert_eq!(picks(&router, 1), ["n2:1"]);
        router.learn_leader(GroupId(7), "n3:1".to_owned());
        router.update(table(2, Some(1)));
        assert_eq!(picks(&router, 1), ["n1:1"]);
    }

    #[test]
    fn the_table_of_the_node_watched_now_counts_whatever_its_version() {
        let router = Router::new(vec!["seed:1".to_owned()], 0);
        router.update(table(5, Some(2)));
        router.update(table(4, Some(1)));
        assert_eq!(picks(&router, 1), ["n1:1"]);
    }

    #[test]
    fn a_leader_moves_when_a_table_names_one_that_is_neither_asked_nor_known() {
        let router = Router::new(vec!["seed:1".to_owned()], 0);
        router.update(table(1, Some(2)));
        let mut asked_leader = std::pin::pin!(router.leader_moved(GroupId(7), "n2:1"));
        let mut asked_other = std::pin::pin!(router.leader_moved(GroupId(7), "n3:1"));
        assert!(asked_leader.as_mut().now_or_never().is_none());
        assert!(asked_other.as_mut().now_or_never().is_none(), "the table is no news");
        for (version, leader) in [(2, None), (3, Some(2))] {
            router.update(table(version, leader));
            assert!(asked_leader.as_mut().now_or_never().is_none(), "nobody else leads");
        }
        router.update(table(4, Some(3)));
        assert!(asked_leader.as_mut().now_or_never().is_some());
        assert!(asked_other.as_mut().now_or_never().is_none(), "it is asked already");
    }

    #[test]
    fn successive_attempts_ask_each_node_in_turn() {
        let router = Router::new(vec!["seed:1".to_owned()], 0);
        router.update(table(1, Some(2)));
        let asked: Vec<_> = (7..10).map(|attempt| router.pick(Target::Any, attempt)).collect();
        assert_eq!(asked, ["n2:1", "n3:1", "n1:1"]);
    }

    #[test]
    fn seeds_serve_until_the_nodes_are_known_and_stay_an_entrance() {
        let router = Router::new(vec!["seed:1".to_owned(), "n1:1".to_owned()], 0);
        assert_eq!(router.pick(GROUP, 0), "seed:1");
        router.update(table(1, None));
        assert_eq!(router.entrances(), ["n1:1", "n2:1", "n3:1", "seed:1"]);
    }
}
