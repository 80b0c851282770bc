//! Laws of the machine, over histories that follow what the registry really answered: nodes that were really
//! registered restart or are removed, and the leaders of groups take the steps that it really asks for.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod raft;
mod stored;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use raft::Raft;
use stored::Stored;
use weir_metadata::limits::MOVES_AT_ONCE;
use weir_metadata::{
    Addresses, Command, Fate, Founder, Level, LinkKind, Node, NodeState, PolicyChange, Registry, ReplicaMove,
    ReplicaSet, Reshape, Role, Stage, Step,
};
use weir_types::{
    At, ClusterId, GroupId, Incarnation, KeyHash, LogIndex, NodeId, Output, ReplicaId, RequestId, Term,
    TopicId, TopicKind, TopicPolicy, WallClock,
};
use wishes::{Wish, growth, unrest, wish};

/// A registry, its rows, and the Raft groups that it speaks of.
#[derive(Clone, Default)]
struct World {
    registry: Registry,
    stored: Stored,
    index: u64,
    incarnations: u64,
    reissues: u64,
    groups: BTreeMap<GroupId, Raft>,
    /// Somebody's copy of the registry, which stays behind.
    behind: Registry,
    /// What was reported.
    reports: Vec<Command>,
    leaders: BTreeMap<GroupId, ReplicaId>,
    issued: BTreeSet<ReplicaId>,
    /// Who has had which number of a topic.
    numbers: BTreeMap<(TopicId, u32), GroupId>,
    /// Data directories whose node runs a build that knows all levels; the others know the first.
    newer: BTreeSet<Incarnation>,
}

impl World {
    fn formed(founders: u64) -> Self {
        let mut world = Self { incarnations: founders, ..Self::default() };
        let founder = |n: u64| Founder {
            node: NodeId(n),
            replica: ReplicaId(n),
            incarnation: Incarnation(n),
            name: format!("n{n}"),
            addresses: addresses(n),
            rack: None,
        };
        world.apply(Command::FormCluster {
            cluster: ClusterId(1),
            founders: (1..=founders).map(founder).collect(),
            coordinator_shards: 2,
        });
        world
    }

    fn command(&mut self, wish: &Wish) -> Option<Command> {
        match *wish {
            Wish::Join { rack } => Some(self.register_fresh(None, rack)),
            Wish::LoseDisk { node } => {
                let peer = self.member(node)?.1;
                Some(self.register_fresh(Some(peer), 0))
            }
            Wish::Restart { node, moved } => {
                let (id, mut addresses) = self.member(node)?;
                let incarnation = self.registry.node(id).unwrap().incarnation;
                addresses.client = format!("moved {moved}");
                Some(self.register(incarnation, "again".into(), addresses, None))
            }
            Wish::Build { node, newer } => {
                let incarnation = self.registry.node(self.member(node)?.0).unwrap().incarnation;
                if newer {
                    self.newer.insert(incarnation);
                } else if self.registry.level() == Level::FIRST {
                    // One that cannot read what there is does not start.
                    self.newer.remove(&incarnation);
                }
                None
            }
            Wish::Raise { silent } => {
                let known = self.registry.members().map(|node| (node.id, self.knows(node.incarnation)));
                let silent = self.member(silent)?.0;
                // Often everybody answers.
                let known = known.filter(|(node, _)| *node != silent || node.0.is_multiple_of(2)).collect();
                Some(Command::RaiseLevel { level: Level::KNOWN, known })
            }
            Wish::LoseWrites { node, retry } => {
                let node = self.member(node)?.0;
                self.reissues += u64::from(!retry);
                let incarnation = self.registry.node(node).unwrap().incarnation;
                Some(Command::ReissueReplicas { node, incarnation, request: RequestId(self.reissues) })
            }
            Wish::Remove { node } => Some(Command::RemoveNode { node: self.member(node)?.0 }),
            Wish::Drain { node, down } => {
                Some(Command::DrainNode { node: self.member(node)?.0, down: self.down(down) })
            }
            Wish::Undrain { node } => Some(Command::CancelDrain { node: self.member(node)?.0 }),
            Wish::Recover { node, down } => {
                let node = self.member(node)?.0;
                let down: BTreeSet<_> = self.down(down).into_iter().chain([node]).collect();
                let command = Command::RecoverNode { node, down: down.clone() };
                Some(command).filter(|_| self.registry.is_recoverable(node, &down))
            }
            Wish::Replace { node, by, down, gone } => {
                let (node, by) = (self.member(node)?.0, self.member(by)?.0);
                let down = self.down(down).into_iter().chain(gone.then_some(node)).collect();
                Some(Command::ReplaceNode { node, by, down })
            }
            Wish::Move { group, to } => self.a_move(group, to),
            Wish::Cancel { group } => {
                let moving: Vec<GroupId> = self.registry.moves().map(|moving| moving.group).collect();
                Some(Command::CancelMoves { groups: vec![*moving.get(group % moving.len().max(1))?] })
            }
            Wish::Balance { take } => {
                let mut seen = BTreeSet::new();
                let mut moves = self.registry.plan_balance(&BTreeSet::new());
                moves.retain(|step| seen.insert(step.group));
                moves.truncate(take);
                Some(Command::MoveReplicas { moves })
            }
            Wish::Elect { group, voter } => {
                self.elect(group, voter);
                None
            }
            _ => self.of_topics(wish),
        }
    }

    /// What concerns topics and producers.
    fn of_topics(&mut self, wish: &Wish) -> Option<Command> {
        match *wish {
            Wish::Create { name, partitions, replicas, request } => Some(Command::CreateTopic {
                request: RequestId(request.into()),
                name: format!("topic-{name}"),
                // Every third name is a stream's.
                policy: TopicPolicy::default_for(if name % 3 == 0 {
                    TopicKind::Stream
                } else {
                    TopicKind::Queue
                }),
                partitions,
                replicas,
            }),
            Wish::Alter { topic, attempts } => Some(Command::AlterTopic {
                topic: self.topic(topic)?,
                changes: vec![PolicyChange::AttemptsMax(attempts)],
            }),
            Wish::Replicate { topic, replicas, down } => Some(Command::SetReplicas {
                topic: self.topic(topic)?,
                replicas,
                changes: Vec::new(),
                down: self.down(down),
            }),
            Wish::Link { kind, from, to, gone } => {
                let kind =
                    [LinkKind::Forward, LinkKind::DeadLetter, LinkKind::Subscription][usize::from(kind)];
                let (from, to) = (self.topic(from)?, self.topic(to)?);
                Some(if gone {
                    Command::DeleteLink { kind, from, to }
                } else {
                    Command::CreateLink { kind, from, to, starts: BTreeMap::new() }
                })
            }
            Wish::Delete { topic } => Some(Command::DeleteTopic { topic: self.topic(topic)? }),
            Wish::Reshape { topic, ref steps, request, down } => {
                let topic = self.topic(topic)?;
                let steps = steps.iter().filter_map(|step| self.a_step(topic, *step)).collect();
                let (request, down) = (RequestId(request.into()), self.down(down));
                Some(Command::Reshape { topic, request, steps, down })
            }
            Wish::Scale { topic, partitions, request } => {
                let topic = self.topic(topic)?;
                let steps = self.registry.scale_steps(topic, partitions).ok()?;
                let request = RequestId(request.into());
                Some(Command::Reshape { topic, request, steps, down: BTreeSet::new() })
            }
            Wish::Seal { group, early } => {
                let ready = |group: &GroupId| early || self.registry.is_to_be_sealed(*group);
                Some(Command::PartitionSealed { group: self.a_partition(group, ready)? })
            }
            Wish::Retire { group } => {
                // Mostly of one that may go.
                let ready = |known: &GroupId| group.is_multiple_of(8) || self.registry.is_retirable(*known);
                Some(Command::RetirePartition { group: self.a_partition(group, ready)? })
            }
            Wish::Produce { name, request } => Some(Command::InitProducer {
                name: name.map(|name| format!("producer-{name}")),
                request: RequestId(request.into()),
            }),
            _ => self.of_groups(wish),
        }
    }

    /// What happens in the Raft groups.
    fn of_groups(&mut self, wish: &Wish) -> Option<Command> {
        match *wish {
            Wish::Form { group } => self.form(group),
            Wish::Walk { group } => self.walk(group),
            Wish::FallBehind => {
                self.behind = self.registry.clone();
                None
            }
            Wish::Step { group, behind, committed } => self.step(group, behind, committed),
            Wish::Commit { group } => {
                self.group(group)?.1.commit();
                None
            }
            Wish::RollBack { group, voter } => {
                let (_, raft) = self.group(group)?;
                // A new leader begins with an entry of its own.
                raft.pending = None;
                raft.last += 1;
                self.elect(group, voter);
                None
            }
            Wish::Repeat { report } => self.reports.get(report % self.reports.len().max(1)).cloned(),
            _ => unreachable!("the others have been dealt with"),
        }
    }

    fn group(&mut self, pick: usize) -> Option<(GroupId, &mut Raft)> {
        let nth = pick % self.groups.len().max(1);
        self.groups.iter_mut().nth(nth).map(|(group, raft)| (*group, raft))
    }

    fn register_fresh(&mut self, at: Option<Addresses>, rack: u8) -> Command {
        self.incarnations += 1;
        let n = self.incarnations;
        if n.is_multiple_of(2) || rack == 0 {
            self.newer.insert(Incarnation(n));
        }
        let rack = (rack > 0).then(|| rack.to_string());
        self.register(Incarnation(n), format!("n{n}"), at.unwrap_or_else(|| addresses(n)), rack)
    }

    fn knows(&self, incarnation: Incarnation) -> Level {
        if self.newer.contains(&incarnation) { Level::KNOWN } else { Level::FIRST }
    }

    /// A build that knows levels says so once the others can read it.
    fn register(
        &self,
        incarnation: Incarnation,
        name: String,
        addresses: Addresses,
        rack: Option<String>,
    ) -> Command {
        let knows = self.knows(incarnation);
        if knows > Level::FIRST && self.registry.level() > Level::FIRST {
            Command::JoinNode { incarnation, name, addresses, rack, knows }
        } else {
            Command::RegisterNode { incarnation, name, addresses, rack }
        }
    }

    fn member(&self, pick: usize) -> Option<(NodeId, Addresses)> {
        let members: Vec<_> = self.registry.members().collect();
        let node = members.get(pick % members.len().max(1))?;
        Some((node.id, node.addresses.clone()))
    }

    fn topic(&self, pick: usize) -> Option<TopicId> {
        let topics: Vec<TopicId> = self.registry.topics().map(|topic| topic.id).collect();
        topics.get(pick % topics.len().max(1)).copied()
    }

    fn a_partition(&self, pick: usize, ready: impl Fn(&GroupId) -> bool) -> Option<GroupId> {
        let groups = (0..1_000).map(GroupId).filter(|group| self.registry.partition(*group).is_some());
        let groups: Vec<GroupId> = groups.filter(ready).collect();
        groups.get(pick % groups.len().max(1)).copied()
    }

    /// A partition is merged with the one behind it, or split; often one that can be.
    fn a_step(&self, topic: TopicId, (pick, merge, at): (usize, bool, Option<u32>)) -> Option<Reshape> {
        let all: Vec<_> = if pick.is_multiple_of(8) {
            self.registry.all_partitions(topic).collect()
        } else {
            self.registry.partitions(topic).collect()
        };
        let place = pick % all.len().max(1);
        let group = all.get(place)?.group;
        Some(if merge {
            Reshape::Merge { left: group, right: all.get(place + 1)?.group }
        } else {
            Reshape::Split { parent: group, at: at.map(KeyHash) }
        })
    }

    fn down(&self, pick: usize) -> BTreeSet<NodeId> {
        // Often nobody is.
        self.member(pick).filter(|_| pick.is_multiple_of(3)).map(|member| member.0).into_iter().collect()
    }

    fn a_move(&self, group: usize, to: usize) -> Option<Command> {
        let groups: Vec<GroupId> = self.groups.keys().copied().collect();
        let group = *groups.get(group % groups.len().max(1))?;
        // A replica that is not in the group yet may be moved as well.
        let voters = &self.registry.membership(group)?.target.voters;
        let from = *voters.values().nth(to / 4 % voters.len().max(1))?;
        let to = self.member(to)?.0;
        Some(Command::MoveReplicas { moves: vec![ReplicaMove { group, from, to }] })
    }

    /// Another voter leads.
    fn elect(&mut self, group: usize, voter: usize) {
        let groups: Vec<GroupId> = self.groups.keys().copied().collect();
        let Some(group) = groups.get(group % groups.len().max(1)) else { return };
        let voters: Vec<ReplicaId> = self.groups[group].members.voters.keys().copied().collect();
        self.leaders.insert(*group, voters[voter % voters.len()]);
    }

    /// Who leads each group that is formed: one that may, if one of the voters does.
    fn led(&self) -> BTreeMap<GroupId, ReplicaId> {
        let leader = |group: GroupId| {
            let membership = self.registry.membership(group).filter(|membership| membership.formed)?;
            let voters =
                self.groups.get(&group).map_or(&membership.current, |raft| &raft.members).voters.keys();
            let able = |voter: &&ReplicaId| !self.registry.is_retired(group, **voter);
            let elected = self.leaders.get(&group).filter(|leader| voters.clone().any(|v| v == *leader));
            let leader = elected.filter(able).or_else(|| voters.clone().find(able));
            Some((group, *leader.or_else(|| voters.clone().next())?))
        };
        (0..1_000).map(GroupId).filter_map(leader).collect()
    }

    /// Some node that shall start an unformed group does.
    fn form(&mut self, pick: usize) -> Option<Command> {
        let nodes: Vec<NodeId> = self.registry.members().map(|node| node.id).collect();
        let starters: Vec<_> = nodes.iter().flat_map(|node| self.registry.replicas_on(*node)).collect();
        let mut starters = starters.into_iter().filter(|r| !r.formed && r.role == Role::Voter);
        let starter = starters.nth(pick % 4)?;
        let group = starter.partition.group;
        let initial = ReplicaSet::of_voters(starter.members.voters);
        let formed = Raft { members: initial.clone(), ..Raft::default() };
        let raft = self.groups.entry(group).or_insert(formed);
        // Whoever starts the group, it starts with the same voters.
        assert!(raft.index > 0 || raft.members == initial);
        Some(Command::PartitionFormed { group })
    }

    /// The leader of a group takes the step that the registry asks for and reports it.
    fn walk(&mut self, pick: usize) -> Option<Command> {
        if let Some(report) = self.report() {
            return Some(report);
        }
        let led = self.led();
        let steps: Vec<(GroupId, Step)> = self.registry.steps(&led).into_iter().collect();
        let copying = led.keys().filter(|group| self.is_copying(**group)).count();
        let begins = |(group, step): &&(GroupId, Step)| {
            let copies = matches!(step, Step::AddLearner { replica, .. } if self.is_copy(*group, *replica));
            copies && !self.is_copying(*group)
        };
        let begun = steps.iter().filter(begins).count();
        assert!(begun == 0 || copying + begun <= MOVES_AT_ONCE, "too many replicas are copied at once");
        let (group, step) = steps.get(pick % steps.len().max(1))?.clone();
        // One change at a time: what is under way is committed first.
        if self.groups.get(&group).is_none_or(|raft| raft.pending.is_none()) {
            self.take_step(group, led[&group], step);
        }
        self.groups.get_mut(&group).unwrap().commit();
        self.report()
    }

    /// Whether a replica that is to vote is a copy on another node, and not the same one under a fresh id.
    fn is_copy(&self, group: GroupId, replica: ReplicaId) -> bool {
        let membership = self.registry.membership(group).unwrap();
        let node = membership.target.voters.get(&replica);
        let moves = self.registry.moves().any(|m| m.group == group && Some(&m.to) == node);
        let grows = membership.current.voters.len() < membership.target.voters.len();
        moves || (grows && group != GroupId::METADATA)
    }

    /// Whether replicas of a group are being copied.
    fn is_copying(&self, group: GroupId) -> bool {
        let membership = self.registry.membership(group).unwrap();
        let learners = membership.current.learners.keys();
        let mut to_vote = learners.filter(|replica| membership.target.voters.contains_key(replica));
        to_vote.any(|replica| self.is_copy(group, *replica))
    }

    /// The leader of a group takes a step, and the registry is not told yet.
    fn step(&mut self, pick: usize, behind: bool, committed: bool) -> Option<Command> {
        let led = self.led();
        let (group, leader) = led.iter().nth(pick % led.len().max(1)).map(|(g, leader)| (*g, *leader))?;
        let raft = self.groups.get(&group).cloned().unwrap_or_default();
        // A copy that does not know the members of the group asks for nothing: they are reported first.
        let knows = |copy: &Registry| {
            copy.membership(group).is_some_and(|known| known.formed && known.generation > raft.index)
        };
        if !knows(&self.registry) {
            return self.report();
        }
        let copy = if behind && knows(&self.behind) { &self.behind } else { &self.registry };
        let step = copy.step(group, leader)?;
        let turns = copy.turns(&led, &BTreeSet::new());
        if raft.pending.is_some() || (copy.begins_copy(group, &step) && !turns.contains(&group)) {
            return None;
        }
        self.take_step(group, leader, step);
        if committed {
            self.groups.get_mut(&group).unwrap().commit();
        }
        None
    }

    /// What a group's leader tells of its own accord: the members by a later entry than the registry knows of.
    fn report(&mut self) -> Option<Command> {
        let registry = &self.registry;
        let later = |(group, raft): &(&GroupId, &Raft)| {
            registry.membership(**group).is_some_and(|known| known.formed && known.generation <= raft.index)
        };
        let (group, raft) = self.groups.iter().find(later)?;
        let report = raft.report(*group);
        self.reports.push(report.clone());
        Some(report)
    }

    /// Appends what a step asks for.
    fn take_step(&mut self, group: GroupId, leader: ReplicaId, step: Step) {
        let lives = !self.registry.is_retired(group, leader);
        let known = self.registry.membership(group).unwrap();
        let log = self
            .groups
            .entry(group)
            .or_insert_with(|| Raft { members: known.current.clone(), ..Raft::default() });
        assert!(log.pending.is_none(), "one change at a time");
        let mut after = log.members.clone();
        let raft = &mut after;
        match step {
            Step::AddLearner { replica, .. } if raft.node_of(replica).is_some() => return,
            Step::AddLearner { replica, node } => {
                raft.learners.insert(replica, node);
            }
            Step::ChangeVoters { voters } => {
                let all: BTreeMap<ReplicaId, NodeId> = raft.iter().collect();
                assert!(voters.iter().all(|voter| all.contains_key(voter)), "a stranger is to vote");
                assert!(voters.contains(&leader), "the leader is to lose its vote");
                let nodes: BTreeSet<NodeId> = voters.iter().map(|voter| all[voter]).collect();
                assert!(!lives || nodes.len() == voters.len(), "two voters are to be on one node");
                let (voting, following) = all.into_iter().partition(|(replica, _)| voters.contains(replica));
                *raft = ReplicaSet { voters: voting, learners: following };
            }
            Step::RemoveReplica { replica } => {
                assert!(!raft.voters.contains_key(&replica), "a voter is to be removed");
                // One that never came in is removed by an entry all the same.
                raft.learners.remove(&replica);
            }
            Step::HandOver { heirs } => {
                let heir = heirs.first().unwrap();
                assert!(raft.voters.contains_key(heir), "a stranger is to lead");
                self.leaders.insert(group, *heir);
                return;
            }
        }
        log.append(after);
    }

    fn apply(&mut self, command: Command) {
        self.index += 1;
        let at = At {
            term: Term(1),
            index: LogIndex(self.index),
            wall_clock: WallClock(self.index),
            ..At::default()
        };
        let before = self.registry.clone();
        let mut out = Output::default();
        let answer = self.registry.apply(at, command.clone(), &mut out).unwrap();
        if answer.is_err() {
            assert_eq!(self.registry, before, "a rejection changes nothing");
            assert!(out.changes.is_empty() && out.effects.is_empty());
        }
        self.stored.write(&out.changes);
        self.check(&before, out.effects.is_empty());
        // A second replica in the same state answers in the same bytes.
        if before.cluster_id().is_some() && self.index.is_multiple_of(3) {
            let mut again = Output::default();
            let mut replica = before;
            assert_eq!(replica.apply(at, command, &mut again).unwrap(), answer);
            assert_eq!((again.changes, again.effects), (out.changes, out.effects));
        }
    }

    fn check(&mut self, before: &Registry, silent: bool) {
        let registry = &self.registry;
        registry.check_invariants();
        assert_eq!(&Registry::restore(self.stored.rows()).unwrap(), registry);
        let same = registry.routing() == before.routing();
        assert!(same || registry.version() > before.version(), "routing changed without a new version");
        assert_eq!(silent, registry.version() == before.version());
        assert!(registry.level() >= before.level(), "the level fell");
        let reads = |node: &Node| self.knows(node.incarnation) >= registry.level();
        assert!(registry.members().all(reads), "a member cannot read what there is");
        self.check_replicas(before);
        self.check_links();
        self.check_lineage(before);
        self.groups.retain(|group, _| self.registry.membership(*group).is_some());
        self.leaders.retain(|group, _| self.registry.membership(*group).is_some());
    }

    /// Nothing that leaves a topic comes back to it, and a message leaves to one place.
    fn check_links(&self) {
        let mut left: Vec<_> = self.registry.links().collect();
        // Topics to which nothing leads go first; in a cycle there is none.
        while !left.is_empty() {
            let fed: BTreeSet<TopicId> = left.iter().map(|link| link.to).collect();
            let before = left.len();
            left.retain(|link| fed.contains(&link.from));
            assert!(left.len() < before, "links make a cycle: {left:?}");
        }
        let single: Vec<_> = self.registry.links().filter(|link| link.kind.is_single()).collect();
        let places: BTreeSet<_> = single.iter().map(|link| (link.kind, link.from)).collect();
        assert_eq!(places.len(), single.len(), "a message is to go to two places");
    }

    /// No number comes back, nobody owns keys again that has given them to its children, and the routing table has everybody
    /// who holds something.
    fn check_lineage(&mut self, before: &Registry) {
        for topic in self.registry.topics() {
            let route = self.registry.topic_route(topic);
            let shown: BTreeSet<GroupId> =
                route.partitions.iter().chain(&route.sealed).map(|known| known.group).collect();
            let coming = |group: &GroupId| self.registry.stage(*group) == Stage::Coming;
            for partition in self.registry.all_partitions(topic.id) {
                let group = partition.group;
                let number = self.numbers.entry((topic.id, partition.index)).or_insert(group);
                assert_eq!(*number, group, "a number came back");
                assert_ne!(shown.contains(&group), coming(&group));
                if before.partition(group).is_some() {
                    let stages = (before.stage(group), self.registry.stage(group));
                    let forward = matches!(
                        stages,
                        (Stage::Coming, Stage::Open)
                            | (Stage::Open, Stage::Sealing)
                            | (Stage::Sealing, Stage::Sealed)
                    );
                    assert!(forward || stages.0 == stages.1, "{stages:?}");
                }
            }
            for parent in route.partitions.iter().chain(&route.sealed).flat_map(|known| &known.parents) {
                assert_eq!(self.registry.stage(*parent), Stage::Sealed);
            }
        }
    }

    fn check_replicas(&mut self, before: &Registry) {
        for node in self.registry.members() {
            for desired in self.registry.replicas_on(node.id) {
                let group = desired.partition.group;
                assert_eq!(self.registry.fate(group, desired.replica), Fate::Keep);
                assert!(!self.registry.is_retired(group, desired.replica));
                if before.membership(group).and_then(|m| m.node_of(desired.replica)).is_none() {
                    assert!(self.issued.insert(desired.replica), "a replica id was issued twice");
                }
            }
        }
    }

    /// Reshapes a topic until it has so many partitions, unless a link forbids it.
    fn scale(&mut self, topic: TopicId, partitions: u32) {
        for round in 0..20 {
            let steps = self.registry.scale_steps(topic, partitions).unwrap();
            if steps.is_empty() {
                assert_eq!(self.registry.topic(topic).unwrap().partitions, partitions);
                return;
            }
            let before = self.registry.version();
            let (request, down) = (RequestId(1_000 + round), BTreeSet::new());
            self.apply(Command::Reshape { topic, request, steps, down });
            if self.registry.version() == before {
                let links = || self.registry.links().any(|link| link.to == topic || link.from == topic);
                assert!(links(), "it was refused for no reason");
                return;
            }
            self.settle();
        }
        panic!("the scaling never ends");
    }

    /// Five nodes and a topic of two partitions with three replicas each, all of it formed and reported.
    fn with_a_topic() -> Self {
        let mut world = Self::formed(5);
        let create = Wish::Create { name: 1, partitions: 2, replicas: 3, request: 1 };
        let command = world.command(&create).unwrap();
        world.apply(command);
        while let Some(command) = world.form(0).or_else(|| world.report()) {
            world.apply(command);
        }
        world
    }

    /// What is wished, as far as it can be at its time.
    fn play(&mut self, wishes: &[Wish]) {
        for wish in wishes {
            if let Some(command) = self.command(wish) {
                self.apply(command);
            }
        }
    }

    /// Everything that is asked for is done; then every group is where it shall be.
    fn settle(&mut self) {
        self.groups.values_mut().for_each(Raft::commit);
        for _ in 0..10_000 {
            let command = match self.form(0) {
                Some(command) => command,
                None => match self.walk(0) {
                    Some(command) => command,
                    None if self.registry.steps(&self.led()).is_empty() => {
                        let sealing = self.a_partition(0, |group| self.registry.is_to_be_sealed(*group));
                        let Some(group) = sealing else { return };
                        Command::PartitionSealed { group }
                    }
                    // A leadership was handed over.
                    None => continue,
                },
            };
            self.apply(command);
        }
        panic!("the moves never end");
    }

    /// Every group is where it shall be, and no move is left.
    fn check_settled(&self) {
        // A group that counts on a replica which is gone for good, its only one, goes nowhere.
        let lost = |group: GroupId| {
            let membership = self.registry.membership(group).unwrap();
            !membership.formed
                || membership.target.iter().any(|(replica, _)| self.registry.is_retired(group, replica))
        };
        let groups = (0..1_000).map(GroupId).filter(|group| self.registry.membership(*group).is_some());
        let whole: Vec<GroupId> = groups.clone().filter(|group| !lost(*group)).collect();
        for group in &whole {
            let membership = self.registry.membership(*group).unwrap();
            assert_eq!(&membership.current, &membership.target);
        }
        for topic in self.registry.topics() {
            for partition in self.registry.all_partitions(topic.id).filter(|p| whole.contains(&p.group)) {
                let voters = &self.registry.membership(partition.group).unwrap().current.voters;
                let nodes: BTreeSet<NodeId> = voters.values().copied().collect();
                assert_eq!((voters.len(), nodes.len()), (topic.replicas as usize, topic.replicas as usize));
            }
        }
        // What waits for its children waits for one that cannot be formed.
        let unformed = |group: &GroupId| !self.registry.membership(*group).unwrap().formed;
        for group in groups.clone().filter(|group| self.registry.stage(*group) == Stage::Sealing) {
            let lineage = self.registry.lineage(group).unwrap();
            assert!(lineage.reported || lineage.children.iter().any(unformed));
        }
        let unfinished = self.registry.moves().find(|moving| whole.contains(&moving.group));
        assert_eq!(unfinished, None);
        // A group that can be formed is; a node is leaving only while a group that cannot move holds it.
        let leaving = |node: &&Node| match node.state {
            NodeState::Draining => true,
            NodeState::Cordoned => !self.registry.is_drained(node.id),
            _ => false,
        };
        for node in self.registry.nodes().filter(leaving) {
            let stuck = groups.clone().filter(|group| lost(*group));
            assert!(stuck.filter_map(|g| self.registry.membership(g)).any(|m| m.uses(node.id)));
        }
    }
}

/// Racks.
impl World {
    /// Balances until nothing is left to move.
    fn balance_out(&mut self) {
        for _ in 0..20 {
            let mut seen = BTreeSet::new();
            let mut moves = self.registry.plan_balance(&BTreeSet::new());
            if moves.is_empty() {
                return;
            }
            moves.retain(|step| seen.insert(step.group));
            self.apply(Command::MoveReplicas { moves });
            self.settle();
        }
        panic!("a balance never ends");
    }

    /// Every partition whose replicas may move is in as many racks as can be.
    fn check_racks(&self) {
        let rack = |node: NodeId| {
            let node = self.registry.node(node).unwrap();
            node.rack.clone().unwrap_or_else(|| format!("alone {}", node.id))
        };
        let usable: BTreeSet<NodeId> =
            self.registry.nodes().filter(|node| node.is_registered()).map(|node| node.id).collect();
        let racks: BTreeSet<String> = usable.iter().map(|node| rack(*node)).collect();
        let layout = self.registry.layout(&BTreeSet::new());
        for spread in layout.partitions.iter().filter(|spread| spread.nodes.is_subset(&usable)) {
            let used: BTreeSet<String> = spread.nodes.iter().map(|node| rack(*node)).collect();
            assert_eq!(used.len(), spread.nodes.len().min(racks.len()), "{spread:?} shares a rack");
        }
    }
}

fn addresses(n: u64) -> Addresses {
    Addresses { peer: format!("n{n}:1"), client: format!("n{n}:2"), http: format!("n{n}:3") }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_laws(
        founders in 1..5u64,
        wishes in prop::collection::vec(wish(), 1..60),
    ) {
        let mut world = World::formed(founders);
        world.play(&wishes);
        world.settle();
        world.check_settled();
        world.balance_out();
        world.check_settled();
        world.check_racks();
    }

    #[test]
    fn no_replica_comes_back_whatever_is_late_or_lost_between_groups_and_registry(
        wishes in prop::collection::vec(unrest(), 1..80),
    ) {
        let mut world = World::with_a_topic();
        world.play(&wishes);
        world.settle();
        world.check_settled();
    }

    #[test]
    fn every_key_has_one_owner_however_partitions_are_split_and_merged(
        wishes in prop::collection::vec(growth(), 1..120),
    ) {
        let mut world = World::formed(4);
        for name in [0, 1] {
            let create = Wish::Create { name, partitions: 2, replicas: 2, request: name };
            let command = world.command(&create).unwrap();
            world.apply(command);
        }
        world.play(&wishes);
        world.settle();
        world.check_settled();
        // What is not linked is brought to any number of partitions.
        let topics: Vec<TopicId> = world.registry.topics().map(|topic| topic.id).collect();
        for (topic, partitions) in topics.into_iter().zip([5, 1]) {
            world.scale(topic, partitions);
        }
    }

    #[test]
    fn a_replica_restored_anywhere_goes_on_alike(
        wishes in prop::collection::vec(wish(), 1..40),
        cut in 0..40usize,
    ) {
        let mut world = World::formed(3);
        let mut restored: Option<World> = None;
        for (at, wish) in wishes.iter().enumerate() {
            if at == cut {
                let registry = Registry::restore(world.stored.rows()).unwrap();
                restored = Some(World { registry, ..world.clone() });
            }
            let Some(command) = world.command(wish) else { continue };
            world.apply(command.clone());
            if let Some(restored) = &mut restored {
                restored.newer.clone_from(&world.newer);
                restored.apply(command);
                prop_assert_eq!(&restored.stored, &world.stored);
            }
        }
    }
}

#[test]
fn a_last_voter_that_is_kept_after_all_gets_its_place_back() {
    let wishes = [
        Wish::Replicate { topic: 0, replicas: 1, down: 0 },
        Wish::Step { group: 53, behind: false, committed: true },
        Wish::LoseWrites { node: 1, retry: false },
        Wish::Walk { group: 0 },
        Wish::LoseWrites { node: 1, retry: false },
    ];
    let mut world = World::with_a_topic();
    world.play(&wishes);
    world.settle();
    world.check_settled();
}
