//! What the planner and the registry cost in a large cluster: nodes in five racks, partitions of three replicas, in one thread
//! and without a network. Times are what the thread had of the processor, which the kernel counts in ticks of some
//! milliseconds; memory is what the allocator was asked for.
//!
//! `cargo run --release -p weir-metadata --example large -- 50 20000`: nodes, partitions.

#![expect(unsafe_code, reason = "an allocator that counts what it is asked for")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_metadata::{
    Addresses, Command, Founder, Membership, MoveState, Node, Registry, ReplicaMove, ReplicaSet, Reply,
};
use weir_types::{
    At, ClusterId, GroupId, Incarnation, NodeId, Output, ReplicaId, RequestId, Row, TopicKind, TopicPolicy,
};

const RACKS: u64 = 5;
const REPLICAS: u32 = 3;
const PARTITIONS_PER_TOPIC: u32 = 1_000;

struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's allocator does the work, with the very arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

/// A registry and its rows.
#[derive(Clone, Default)]
struct Cluster {
    registry: Registry,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Cluster {
    fn formed(nodes: u64) -> Self {
        let mut cluster = Self::default();
        let founder = |n: u64| Founder {
            node: NodeId(n),
            replica: ReplicaId(n),
            incarnation: Incarnation(n),
            name: format!("n{n}"),
            addresses: addresses(n),
            rack: Some(format!("rack {}", n % RACKS)),
        };
        cluster.apply(Command::FormCluster {
            cluster: ClusterId(1),
            founders: (1..=nodes).map(founder).collect(),
            coordinator_shards: 16,
        });
        cluster
    }

    fn apply(&mut self, command: Command) -> Reply {
        let mut out = Output::default();
        let answer = self.registry.apply(At::default(), command, &mut out).expect("the log is sound");
        for change in out.changes {
            match change.value {
                Some(value) => self.rows.insert(change.key, value),
                None => self.rows.remove(&change.key),
            };
        }
        answer.expect("nothing is asked for that is refused")
    }

    fn register(&mut self, n: u64, rack: u64) {
        let (name, rack) = (format!("n{n}"), Some(format!("rack {rack}")));
        self.apply(Command::RegisterNode {
            incarnation: Incarnation(n),
            name,
            addresses: addresses(n),
            rack,
        });
    }

    fn create(&mut self, partitions: u32) {
        for topic in 0..partitions.div_ceil(PARTITIONS_PER_TOPIC) {
            self.apply(Command::CreateTopic {
                request: RequestId(topic.into()),
                name: format!("topic-{topic}"),
                policy: TopicPolicy::default_for(TopicKind::Queue),
                partitions: PARTITIONS_PER_TOPIC.min(partitions - topic * PARTITIONS_PER_TOPIC),
                replicas: REPLICAS,
            });
        }
    }

    fn groups(&self) -> Vec<GroupId> {
        let known = (1..).map(GroupId).take_while(|group| self.registry.membership(*group).is_some());
        known.collect()
    }

    fn form_all(&mut self) {
        for group in self.groups() {
            self.apply(Command::PartitionFormed { group });
        }
    }

    /// Every move is made in three steps, each of which the group's leader reports. How many reports that were.
    fn make_moves(&mut self) -> u64 {
        let mut reports = 0;
        let moving: Vec<MoveState> = self.registry.moves().collect();
        for MoveState { group, .. } in moving {
            let Membership { current, target, .. } =
                self.registry.membership(group).expect("it moves").clone();
            let fresh = target.voters.iter().filter(|(replica, _)| !current.voters.contains_key(replica));
            let old = current.voters.iter().filter(|(replica, _)| !target.voters.contains_key(replica));
            let (fresh, old) = (fresh.map(pair).collect(), old.map(pair).collect());
            let steps = [
                ReplicaSet { voters: current.voters.clone(), learners: fresh },
                ReplicaSet { voters: target.voters.clone(), learners: old },
                target.clone(),
            ];
            for ReplicaSet { voters, learners } in steps {
                reports += 1;
                self.apply(Command::MembershipChanged { group, voters, learners, generation: reports });
            }
        }
        reports
    }

    /// Makes all moves of a plan, those of one partition one after the other.
    fn carry_out(&mut self, mut plan: Vec<ReplicaMove>) {
        while !plan.is_empty() {
            let mut seen = BTreeSet::new();
            let (moves, later) = plan.into_iter().partition(|step| seen.insert(step.group));
            self.apply(Command::MoveReplicas { moves });
            self.make_moves();
            plan = later;
        }
    }

    /// How even the nodes are, and how many partitions are in fewer racks than they could be.
    fn spread(&self) -> String {
        self.registry.check_invariants();
        let rack = |node: NodeId| self.registry.node(node).and_then(|node| node.rack.clone());
        let mut held: BTreeMap<NodeId, u64> =
            self.registry.nodes().filter(|node| node.is_registered()).map(|node| (node.id, 0)).collect();
        let mut crowded = 0;
        for group in self.groups() {
            let target = &self.registry.membership(group).expect("it is known").target;
            let racks: BTreeSet<_> = target.voters.values().map(|node| rack(*node)).collect();
            crowded += usize::from(racks.len() < target.voters.len());
            target.voters.values().for_each(|node| *held.entry(*node).or_default() += 1);
        }
        let (least, most) = (held.values().min(), held.values().max());
        format!(
            "{} to {} replicas on a node, {crowded} partitions with two replicas in one rack",
            least.expect("there are nodes"),
            most.expect("there are nodes")
        )
    }
}

fn pair((replica, node): (&ReplicaId, &NodeId)) -> (ReplicaId, NodeId) {
    (*replica, *node)
}

fn addresses(n: u64) -> Addresses {
    Addresses {
        peer: format!("10.0.0.{n}:7401"),
        client: format!("10.0.0.{n}:7400"),
        http: format!("10.0.0.{n}:7402"),
    }
}

/// What the thread has had of the processor, in nanoseconds.
fn processor_ns() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

fn measured<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let before = processor_ns();
    let result = work();
    let took = (processor_ns() - before) / 1_000;
    eprintln!("{what}: {}.{:03} ms", took / 1_000, took % 1_000);
    result
}

/// Plans a balance, makes its moves, and looks whether the cluster then rests.
fn balance(what: &str, mut cluster: Cluster) {
    let layout =
        measured(&format!("{what}: where everything is"), || cluster.registry.layout(&BTreeSet::new()));
    let plan = measured(&format!("{what}: the plan"), || layout.balance());
    eprintln!("  {} moves, {} looks at a node", plan.moves.len(), plan.looked_at);
    let moved = plan.moves.len();
    cluster.carry_out(plan.moves);
    let rest = cluster.registry.plan_balance(&BTreeSet::new()).len();
    eprintln!("  after {moved} moves: {}; another balance moves {rest}", cluster.spread());
}

fn changes(cluster: &Cluster, nodes: u64) {
    balance("nothing changed", cluster.clone());

    let mut grown = cluster.clone();
    grown.register(nodes + 1, 1);
    grown.register(nodes + 2, 2);
    balance("two more nodes", grown);

    let mut regrouped = cluster.clone();
    (1..=nodes).for_each(|n| regrouped.register(n, n * RACKS / (nodes + 1)));
    balance("all nodes in other racks", regrouped);

    let down = BTreeSet::new();
    let mut drained = cluster.clone();
    let drain = Command::DrainNode { node: NodeId(1), down };
    measured("a drain: the plan, and its rows", || drained.apply(drain));
    eprintln!("  {} moves; {}", drained.registry.moves().count(), drained.spread());

    // One without a vote in the registry, about which there would be something to do anyway.
    let (mut lost, node, down) = (cluster.clone(), NodeId(nodes), BTreeSet::from([NodeId(nodes)]));
    measured("a lost node: whether there is anything to plan", || lost.registry.is_recoverable(node, &down));
    let recover = Command::RecoverNode { node, down };
    measured("a lost node: the plan, and its rows", || lost.apply(recover));
    eprintln!("  {} moves; {}", lost.registry.moves().count(), lost.spread());

    let mut left = cluster.clone();
    left.apply(Command::RemoveNode { node: NodeId(1) });
    let reports = measured("a node leaves: all reports of its moves", || left.make_moves());
    eprintln!("  {reports} reports; {}", left.spread());
}

fn main() {
    let mut arguments = env::args().skip(1).filter_map(|argument| argument.parse::<u32>().ok());
    let nodes = u64::from(arguments.next().unwrap_or(50));
    let partitions = arguments.next().unwrap_or(20_000);
    let mut cluster = Cluster::formed(nodes);
    measured("all topics are created", || cluster.create(partitions));
    measured("all partitions are formed", || cluster.form_all());
    eprintln!("  {nodes} nodes, {partitions} partitions: {}", cluster.spread());
    changes(&cluster, nodes);

    let per_1000 = |bytes: usize| bytes * 1_000 / partitions as usize;
    let bytes: usize = cluster.rows.iter().map(|(key, value)| key.len() + value.len()).sum();
    eprintln!(
        "rows of a snapshot: {} of {bytes} bytes, {} per 1,000 partitions",
        cluster.rows.len(),
        per_1000(bytes)
    );
    let rows: Vec<Row> =
        cluster.rows.iter().map(|(key, value)| Row { key: key.clone(), value: value.clone() }).collect();
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    let taken: usize =
        rows.iter().map(|row| row.key.capacity() + row.value.capacity() + size_of::<Row>()).sum();
    let registry =
        measured("restored from its rows", || Registry::restore(rows)).expect("the rows are sound");
    // The rows are gone by now.
    let memory = LIVE_BYTES.load(Ordering::Relaxed) + taken - before;
    eprintln!("  memory of a registry: {memory} bytes, {} per 1,000 partitions", per_1000(memory));
    let node = registry.nodes().next().map_or(NodeId(1), |node: &Node| node.id);
    let here = measured("what a node shall hold", || registry.replicas_on(node));
    let table = measured("the routing table", || registry.routing());
    eprintln!("  {} replicas; {} topics", here.len(), table.topics.len());
}
