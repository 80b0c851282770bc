//! A cluster of nodes in one process, over real sockets on loopback.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use weir_consensus::{
    EntryPosition, Error, Group, GroupSpec, Groups, Limits, Machine, Options, PeerAddress, ProposeError,
    Timings,
};
use weir_runtime::{OsRandom, Runtime, SystemClock, Threads};
use weir_storage::{LogClass, MemoryDisk, Store};
use weir_types::{
    ClusterId, Corrupt, GroupId, Incarnation, LogIndex, NodeId, ReplicaId, Row, RowChange, Term,
};

use crate::switchboard::{NodeNetwork, Switchboard};

pub(crate) const CLUSTER: ClusterId = ClusterId(77);
pub(crate) const GROUP: GroupId = GroupId(9);
const OTHER: GroupId = GroupId(11);

/// A machine that keeps every entry's position by the order of application, and retains the last few.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// (term, index) of each entry, in order.
    pub(crate) entries: Vec<EntryPosition>,
    /// Entries before this place in the order are retired.
    pub(crate) retired: usize,
    pub(crate) applied_calls: u64,
    last: LogIndex,
}

/// A payload that panics once per node when applied.
pub(crate) const POISON: &[u8] = b"poison";
/// A payload that retires everything before the entry's own place.
pub(crate) const RETIRE: &[u8] = b"retire";
/// A payload that retires everything, its own entry too.
pub(crate) const RETIRE_ALL: &[u8] = b"retire all";

pub(crate) static POISON_BITES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

impl Machine for Journal {
    type Reply = u64;

    fn restore(rows: Vec<Row>) -> Result<Self, Corrupt> {
        let mut journal = Self::default();
        for row in rows {
            if row.key == b"retired" {
                journal.retired = u64::from_be_bytes(row.value.try_into().unwrap()) as usize;
                continue;
            }
            let number = |at: usize| u64::from_be_bytes(row.value[at..at + 8].try_into().unwrap());
            let place = u64::from_be_bytes(row.key[1..9].try_into().unwrap());
            assert_eq!(place, journal.entries.len() as u64, "rows are dense");
            journal.entries.push(EntryPosition { term: Term(number(0)), index: LogIndex(number(8)) });
        }
        Ok(journal)
    }

    fn apply(
        &mut self,
        position: EntryPosition,
        payload: &Bytes,
        changes: &mut Vec<RowChange>,
    ) -> Result<u64, Corrupt> {
        use std::sync::atomic::Ordering;
        if payload == POISON
            && POISON_BITES.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
        {
            panic!("poisoned");
        }
        let place = self.entries.len() as u64;
        assert!(self.entries.last().is_none_or(|last| *last < position), "applied in order, once");
        self.entries.push(position);
        let key = [b"e".as_slice(), &place.to_be_bytes()].concat();
        let value = [position.term.0.to_be_bytes(), position.index.0.to_be_bytes()].concat();
        changes.push(RowChange::put(key, value));
        if payload == RETIRE || payload == RETIRE_ALL {
            let retired = place + u64::from(payload == RETIRE_ALL);
            self.retired = retired as usize;
            changes.push(RowChange::put(b"retired".to_vec(), retired.to_be_bytes().to_vec()));
        }
        Ok(place)
    }

    fn applied(&mut self, last: LogIndex) {
        self.applied_calls += 1;
        self.last = last;
    }

    fn retained_from(&self) -> LogIndex {
        self.entries.get(self.retired).map_or_else(|| self.last.next(), |position| position.index)
    }
}

/// Short enough for tests; the backstop stays far behind the failure detector.
pub(crate) fn timings() -> Timings {
    Timings {
        heartbeat: Duration::from_millis(500),
        election_min: Duration::from_secs(4),
        election_max: Duration::from_secs(5),
        ..Timings::default()
    }
}

/// What outlives a node.
#[derive(Clone)]
pub(crate) enum Disk {
    Memory(MemoryDisk),
    Rocks(Arc<TempDir>),
}

impl Disk {
    fn options(&self) -> weir_storage::Options {
        match self {
            Self::Memory(disk) => weir_storage::Options::memory(disk.clone()),
            Self::Rocks(directory) => {
                let mut options = weir_storage::Options::rocks(directory.path());
                options.free_bytes_min = 0;
                options
            }
        }
    }
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) disk: Disk,
    pub(crate) store: Store,
    pub(crate) groups: Groups,
    pub(crate) group: Group<Journal>,
}

pub(crate) struct Cluster {
    pub(crate) board: Arc<Switchboard>,
    pub(crate) limits: Limits,
    pub(crate) timings: Timings,
    pub(crate) nodes: BTreeMap<u64, Node>,
}

pub(crate) fn spec(id: u64) -> GroupSpec {
    GroupSpec { group: GROUP, replica: ReplicaId(100 + id), class: LogClass::Queue }
}

pub(crate) async fn start_groups(
    id: u64,
    store: &Store,
    limits: Limits,
    (timings, board): (Timings, &Arc<Switchboard>),
) -> Groups {
    let network = NodeNetwork { node: id, board: Arc::clone(board) };
    let runtime = Runtime::new(Arc::new(SystemClock), Arc::new(OsRandom), Arc::new(network), Threads::Real);
    let options = Options {
        cluster: CLUSTER,
        node: NodeId(id),
        incarnation: Incarnation(1_000 + id),
        listen: "127.0.0.1:0".to_owned(),
        timings,
        limits,
        runtime,
        store: store.clone(),
    };
    let groups = Groups::start(options).await.unwrap();
    groups.let_rest();
    groups
}

/// `RUST_LOG=weir_consensus=debug` shows what the nodes do.
fn log() {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "off".to_owned());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}

impl Cluster {
    pub(crate) async fn start(count: u64) -> Self {
        Self::start_with(count, Limits::default()).await
    }

    /// `count` nodes with one group, initialised by the first.
    pub(crate) async fn start_with(count: u64, limits: Limits) -> Self {
        Self::start_on(count, limits, || Disk::Memory(MemoryDisk::new())).await
    }

    /// The same on disks of a kind.
    pub(crate) async fn start_on(count: u64, limits: Limits, disk: impl Fn() -> Disk) -> Self {
        let cluster = Self::unformed(count, limits, disk).await;
        cluster.form().await;
        cluster
    }

    /// Nodes on which the group is open, and nobody has formed it.
    pub(crate) async fn unformed(count: u64, limits: Limits, disk: impl Fn() -> Disk) -> Self {
        log();
        let mut cluster = Self { board: Arc::default(), limits, timings: timings(), nodes: BTreeMap::new() };
        for id in 1..=count {
            cluster.boot(id, disk()).await;
        }
        cluster
    }

    /// The first node forms the group, of all.
    pub(crate) async fn form(&self) {
        let voters = self.nodes.keys().map(|id| (ReplicaId(100 + id), NodeId(*id))).collect();
        self.nodes[&1].group.initialize(voters).await.unwrap();
    }

    /// Nodes on which the group is not open: the handle that each has is of another group that nobody forms.
    pub(crate) async fn blank(count: u64) -> Self {
        log();
        let mut cluster = Self {
            board: Arc::default(),
            limits: Limits::default(),
            timings: timings(),
            nodes: BTreeMap::new(),
        };
        for id in 1..=count {
            cluster
                .boot_with(id, Disk::Memory(MemoryDisk::new()), GroupSpec { group: OTHER, ..spec(id) })
                .await;
        }
        cluster
    }

    /// Starts a node on a disk, and tells everybody where it is.
    pub(crate) async fn boot(&mut self, id: u64, disk: Disk) {
        self.boot_with(id, disk, spec(id)).await;
    }

    async fn boot_with(&mut self, id: u64, disk: Disk, spec: GroupSpec) {
        let (store, _) = Store::start(disk.options()).await.unwrap();
        let groups = start_groups(id, &store, self.limits, (self.timings, &self.board)).await;
        self.board.register(groups.address(), id);
        let group = groups.open(spec, Journal::restore).await.unwrap();
        self.nodes.insert(id, Node { id: NodeId(id), disk, store, groups, group });
        self.spread_addresses();
    }

    pub(crate) fn spread_addresses(&self) {
        let book: BTreeMap<NodeId, PeerAddress> = self
            .nodes
            .values()
            .map(|node| {
                let address = node.groups.address().to_owned();
                (node.id, PeerAddress { address, incarnation: Some(Incarnation(1_000 + node.id.0)) })
            })
            .collect();
        for node in self.nodes.values() {
            node.groups.set_peers(book.clone());
        }
    }

    /// Ends a node without any farewell; its disk loses what was not synced.
    pub(crate) async fn kill(&mut self, id: u64) -> Disk {
        let node = self.nodes.remove(&id).unwrap();
        if let Disk::Memory(disk) = &node.disk {
            disk.crash();
        }
        node.groups.stop().await;
        node.store.close().await;
        node.disk
    }

    pub(crate) fn group(&self, id: u64) -> &Group<Journal> {
        &self.nodes[&id].group
    }

    /// The node that leads; waits until one does among those that live.
    pub(crate) async fn leader(&self) -> u64 {
        let waits = self.nodes.iter().map(|(id, node)| {
            let mut leadership = node.group.leadership();
            Box::pin(async move {
                leadership.wait_for(|known| known.here).await.unwrap();
                *id
            })
        });
        let first = futures::future::select_all(waits);
        tokio::time::timeout(Duration::from_secs(20), first).await.expect("a leader in time").0
    }

    /// Proposes until it is committed, wherever the leader is.
    pub(crate) async fn propose(&self, payload: &[u8]) -> (Term, LogIndex) {
        let payload = Bytes::copy_from_slice(payload);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            assert!(tokio::time::Instant::now() < deadline, "a proposal in time");
            let leader = self.leader().await;
            self.group(leader).wake().await;
            match self.group(leader).submit(payload.clone()).await {
                Ok(applied) => return (applied.term, applied.index),
                Err(
                    ProposeError::NotLeader { .. } | ProposeError::OutcomeUnknown | ProposeError::Overloaded,
                ) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(ProposeError::Stopped) => panic!("stopped"),
            }
        }
    }

    /// Hands the leadership from one node to another. Where connections are still being made it takes more than
    /// one attempt.
    pub(crate) async fn transfer(&self, from: u64, to: u64) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        let successor = self.group(to).spec().replica;
        while let Err(error) = self.group(from).transfer_leader(successor).await {
            assert!(matches!(error, Error::Unfinished { .. }), "{error:?}");
            assert!(tokio::time::Instant::now() < deadline, "a transfer in time: {error:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until `id` has applied `index`.
    pub(crate) async fn wait_applied(&self, id: u64, index: LogIndex) {
        wait_until(&format!("node {id} applies {index}"), || self.group(id).status().applied >= Some(index))
            .await;
    }

    /// Waits until every node has applied what the leader has.
    pub(crate) async fn settle(&self) {
        let (_, index) = self.propose(b"settle").await;
        for id in self.nodes.keys() {
            self.wait_applied(*id, index).await;
        }
    }
}

pub(crate) async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
