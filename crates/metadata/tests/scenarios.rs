//! Transcripts: each block of a scenario is a command or a question, `----`, and what the registry answers.
//! After every command the invariants must hold and the rows written so far must restore to the same state.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod expected;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::str::FromStr;

use stored::Stored;
use weir_metadata::{
    Addresses, Command, Described, DesiredReplica, Feature, Founder, Level, LinkKind, Membership,
    PartitionRoute, PolicyChange, Registry, Rejection, ReplicaMove, ReplicaSet, Reshape, Role, Step,
};
use weir_types::{
    At, ClusterId, Corrupt, GroupId, Incarnation, KeyHash, LogIndex, NodeId, Output, ReplicaId, RequestId,
    RowChange, Term, TopicId, TopicKind, TopicPolicy, WallClock,
};

#[test]
fn scenarios_answer_as_written() {
    let mut files: Vec<_> = std::fs::read_dir(expected::path("scenarios"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        expected::compare(&file, &replay(&text));
    }
}

/// The text with every answer replaced by the present one.
fn replay(text: &str) -> String {
    let mut scenario = Scenario::default();
    let mut replayed = Vec::new();
    for block in text.trim_end().split("\n\n") {
        let asked = block.split("\n----").next().unwrap();
        let Some(line) = asked.lines().find(|line| !line.starts_with('#')) else {
            replayed.push(asked.to_owned());
            continue;
        };
        replayed.push(format!("{asked}\n----\n{}", scenario.run(line).trim_end()));
    }
    replayed.join("\n\n") + "\n"
}

#[derive(Default)]
struct Scenario {
    registry: Registry,
    stored: Stored,
    index: u64,
    backup: Option<Described>,
}

impl Scenario {
    fn run(&mut self, line: &str) -> String {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        if verb == "backup" {
            // What is kept of this cluster; the next command goes to another one.
            let backup = match self.registry.describe() {
                Ok(backup) => backup,
                Err(refused) => return rejected(&refused),
            };
            assert_eq!(Described::decode(&backup.encode()).unwrap(), backup);
            let described = &backup.description;
            let mut text = format!("{} topics, ", described.topics.len());
            write!(text, "{} partitions, {} links", described.partitions.len(), described.links.len())
                .unwrap();
            if !backup.lineages.is_empty() {
                write!(text, ", {} lineages", backup.lineages.len()).unwrap();
            }
            *self = Self { backup: Some(backup), ..Self::default() };
            return text;
        }
        let backup = self.backup.clone();
        let words = Words(rest.split_whitespace().map(|word| word.split_once('=').unwrap()).collect());
        match question(&self.registry, verb, &words) {
            Some(answer) => answer,
            None if verb == "restore" => {
                let request = RequestId(words.number("request"));
                let described = backup.unwrap();
                self.apply(if described.lineages.is_empty() {
                    Command::BeginRestore { request, described: described.description }
                } else {
                    Command::BeginRestoreOf { request, described }
                })
            }
            None => self.apply(command(verb, &words)),
        }
    }

    fn apply(&mut self, command: Command) -> String {
        self.index += 1;
        let at = At {
            term: Term(1),
            index: LogIndex(self.index),
            wall_clock: WallClock(1000 * self.index),
            ..At::default()
        };
        assert_eq!(Command::decode(&command.encode()).unwrap(), command);
        let mut out = Output::default();
        let before = self.registry.clone();
        let answer = match self.registry.apply(at, command, &mut out) {
            Ok(answer) => answer,
            Err(Corrupt(why)) => {
                self.registry = before;
                return format!("stops: {why}\n");
            }
        };
        self.stored.write(&out.changes);
        self.check();
        let mut text = match answer {
            Ok(reply) => format!("{reply:?}\n"),
            Err(rejection) => rejected(&rejection),
        };
        for change in &out.changes {
            writeln!(text, "  {}", row(change)).unwrap();
        }
        for effect in &out.effects {
            writeln!(text, "  {effect:?}").unwrap();
        }
        text
    }

    fn check(&self) {
        self.registry.check_invariants();
        assert_eq!(Registry::restore(self.stored.rows()).unwrap(), self.registry);
    }
}

fn rejected(rejection: &Rejection) -> String {
    format!("{}: {rejection} [{}]\n", rejection.kind(), rejection.code())
}

struct Words<'a>(BTreeMap<&'a str, &'a str>);

impl Words<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| (*value).to_owned())
    }

    fn number<T: FromStr<Err: std::fmt::Debug>>(&self, name: &str) -> T {
        self.0.get(name).unwrap_or_else(|| panic!("{name}=… is missing")).parse().unwrap()
    }

    fn list(&self, name: &str) -> Vec<&str> {
        self.0
            .get(name)
            .into_iter()
            .flat_map(|list| list.split(','))
            .filter(|item| !item.is_empty())
            .collect()
    }

    fn nodes(&self, name: &str) -> BTreeSet<NodeId> {
        self.list(name).iter().map(|node| NodeId(node.parse().unwrap())).collect()
    }

    /// `node:level,…`
    fn levels(&self, name: &str) -> BTreeMap<NodeId, Level> {
        let pair = |item: &str| {
            let (node, level) = item.split_once(':').unwrap();
            (NodeId(node.parse().unwrap()), Level(level.parse().unwrap()))
        };
        self.list(name).into_iter().map(pair).collect()
    }

    /// `replica@node,…`
    fn replicas(&self, name: &str) -> BTreeMap<ReplicaId, NodeId> {
        let pair = |item: &str| {
            let (replica, node) = item.split_once('@').unwrap();
            (ReplicaId(replica.parse().unwrap()), NodeId(node.parse().unwrap()))
        };
        self.list(name).into_iter().map(pair).collect()
    }
}

/// `group:from>to`
fn a_move(text: &str) -> ReplicaMove {
    let (group, nodes) = text.split_once(':').unwrap();
    let (from, to) = nodes.split_once('>').unwrap();
    ReplicaMove {
        group: GroupId(group.parse().unwrap()),
        from: NodeId(from.parse().unwrap()),
        to: NodeId(to.parse().unwrap()),
    }
}

/// `group` splits it in the middle, `group@hash` there, `group+group` merges.
fn a_reshape(text: &str) -> Reshape {
    let group = |text: &str| GroupId(text.parse().unwrap());
    if let Some((left, right)) = text.split_once('+') {
        return Reshape::Merge { left: group(left), right: group(right) };
    }
    let (parent, at) = text.split_once('@').map_or((text, None), |(parent, at)| (parent, Some(at)));
    Reshape::Split { parent: group(parent), at: at.map(|at| KeyHash(at.parse().unwrap())) }
}

fn shown_reshape(step: &Reshape) -> String {
    match step {
        Reshape::Split { parent, at: None } => parent.to_string(),
        Reshape::Split { parent, at: Some(at) } => format!("{parent}@{}", at.0),
        Reshape::Merge { left, right } => format!("{left}+{right}"),
    }
}

/// Who leads each group: `leads=replica@group,…`, or else a voter that is to stay one, if there is.
fn led(registry: &Registry, words: &Words<'_>) -> BTreeMap<GroupId, ReplicaId> {
    let given = words.replicas("leads");
    let leader = |group: GroupId| {
        let membership = registry.membership(group)?;
        let voters = &membership.current.voters;
        let named = given.iter().find(|(_, of)| of.0 == u64::from(group.0)).map(|(replica, _)| *replica);
        let staying = || voters.keys().find(|voter| membership.target.voters.contains_key(voter)).copied();
        Some((group, named.or_else(staying).or_else(|| voters.keys().next().copied())?))
    };
    (0..=10_000).map(GroupId).filter_map(leader).collect()
}

fn step(group: GroupId, step: Step) -> String {
    let list = |replicas: BTreeSet<ReplicaId>| {
        let all: Vec<_> = replicas.iter().map(ToString::to_string).collect();
        all.join(",")
    };
    match step {
        Step::AddLearner { replica, node } => format!("group {group}: add learner {replica}@{node}"),
        Step::ChangeVoters { voters } => format!("group {group}: make voters {}", list(voters)),
        Step::RemoveReplica { replica } => format!("group {group}: remove {replica}"),
        Step::HandOver { heirs } => format!("group {group}: hand the leadership to {}", list(heirs)),
    }
}

fn link(verb: &str, words: &Words<'_>) -> Command {
    let kind = match words.text("kind").unwrap().as_str() {
        "forward" => LinkKind::Forward,
        "dead-letter" => LinkKind::DeadLetter,
        _ => LinkKind::Subscription,
    };
    let (from, to) = (TopicId(words.number("from")), TopicId(words.number("to")));
    if verb == "link" {
        Command::CreateLink { kind, from, to, starts: BTreeMap::new() }
    } else {
        Command::DeleteLink { kind, from, to }
    }
}

fn command(verb: &str, words: &Words<'_>) -> Command {
    match verb {
        "form" => form(words),
        "raise" => Command::RaiseLevel { level: Level(words.number("level")), known: words.levels("known") },
        "join" => Command::JoinNode {
            incarnation: Incarnation(words.number("incarnation")),
            name: words.text("at").unwrap(),
            addresses: addresses(&words.text("at").unwrap()),
            rack: words.text("rack"),
            knows: Level(words.number("knows")),
        },
        "register" => Command::RegisterNode {
            incarnation: Incarnation(words.number("incarnation")),
            name: words.text("at").unwrap(),
            addresses: addresses(&words.text("at").unwrap()),
            rack: words.text("rack"),
        },
        "reissue" => Command::ReissueReplicas {
            node: NodeId(words.number("node")),
            incarnation: Incarnation(words.number("incarnation")),
            request: RequestId(words.number("request")),
        },
        "link" | "unlink" => link(verb, words),
        "create" => Command::CreateTopic {
            request: RequestId(words.number("request")),
            name: words.text("name").unwrap_or_default(),
            policy: policy(words),
            partitions: words.number("partitions"),
            replicas: words.number("replicas"),
        },
        "alter" => Command::AlterTopic { topic: TopicId(words.number("topic")), changes: changes(words) },
        "replace" => Command::ReplaceNode {
            node: NodeId(words.number("node")),
            by: NodeId(words.number("by")),
            down: words.nodes("down"),
        },
        "replicate" => Command::SetReplicas {
            topic: TopicId(words.number("topic")),
            replicas: words.number("replicas"),
            changes: changes(words),
            down: words.nodes("down"),
        },
        "delete" => Command::DeleteTopic { topic: TopicId(words.number("topic")) },
        "producer" => {
            Command::InitProducer { name: words.text("name"), request: RequestId(words.number("request")) }
        }
        "finish" => Command::FinishRestore { request: RequestId(words.number("request")) },
        "abandon" => Command::AbandonRestore { request: RequestId(words.number("request")) },
        "formed" => Command::PartitionFormed { group: GroupId(words.number("group")) },
        "report" => Command::MembershipChanged {
            group: GroupId(words.number("group")),
            voters: words.replicas("voters"),
            learners: words.replicas("learners"),
            generation: words.number("generation"),
        },
        "remove" => Command::RemoveNode { node: NodeId(words.number("node")) },
        "drain" => Command::DrainNode { node: NodeId(words.number("node")), down: words.nodes("down") },
        "undrain" => Command::CancelDrain { node: NodeId(words.number("node")) },
        "recover" => Command::RecoverNode { node: NodeId(words.number("node")), down: words.nodes("down") },
        "cancel" => Command::CancelMoves {
            groups: words.list("groups").iter().map(|group| GroupId(group.parse().unwrap())).collect(),
        },
        "move" => Command::MoveReplicas { moves: words.list("replicas").iter().map(|m| a_move(m)).collect() },
        _ => reshaping(verb, words),
    }
}

fn reshaping(verb: &str, words: &Words<'_>) -> Command {
    match verb {
        "reshape" => Command::Reshape {
            topic: TopicId(words.number("topic")),
            request: RequestId(words.number("request")),
            steps: words.list("steps").into_iter().map(a_reshape).collect(),
            down: words.nodes("down"),
        },
        "sealed" => Command::PartitionSealed { group: GroupId(words.number("group")) },
        "retire" => Command::RetirePartition { group: GroupId(words.number("group")) },
        other => panic!("unknown verb {other}"),
    }
}

/// `form cluster=N founders=N shards=N [racks=a,b,…] [level=N]`: node n has replica n and incarnation 100 + n.
fn form(words: &Words<'_>) -> Command {
    let racks = words.list("racks");
    let founder = |n: u64| Founder {
        node: NodeId(n),
        replica: ReplicaId(n),
        incarnation: Incarnation(100 + n),
        name: format!("n{n}"),
        addresses: addresses(&format!("n{n}")),
        rack: racks.get(n as usize - 1).map(|rack| (*rack).to_owned()),
    };
    let cluster = ClusterId(words.number("cluster"));
    let founders = (1..=words.number("founders")).map(founder).collect();
    let coordinator_shards = words.number("shards");
    match words.text("level") {
        None => Command::FormCluster { cluster, founders, coordinator_shards },
        Some(level) => {
            let level = Level(level.parse().unwrap());
            Command::FoundCluster { cluster, founders, coordinator_shards, level }
        }
    }
}

/// `fifo=true` for a queue in order of keys.
fn policy(words: &Words<'_>) -> TopicPolicy {
    let mut policy = TopicPolicy::default_for(words.number::<TopicKind>("kind"));
    if let TopicPolicy::Queue(queue) = &mut policy {
        queue.fifo = words.text("fifo").is_some();
    }
    policy
}

fn addresses(at: &str) -> Addresses {
    Addresses { peer: format!("{at}:1"), client: format!("{at}:2"), http: format!("{at}:3") }
}

fn changes(words: &Words<'_>) -> Vec<PolicyChange> {
    let change = |(name, value): (&&str, &&str)| match *name {
        "lease_ms" => Some(PolicyChange::LeaseMs(value.parse().unwrap())),
        "attempts_max" => Some(PolicyChange::AttemptsMax(value.parse().unwrap())),
        "ttl_ms" => Some(PolicyChange::TtlMs(value.parse().ok())),
        "retention_groups" => {
            let names = value.split(',').filter(|name| !name.is_empty());
            Some(PolicyChange::RetentionGroups(names.map(str::to_owned).collect()))
        }
        "fair_by" => Some(PolicyChange::FairBy((*value != "none").then(|| (*value).to_owned()))),
        "compact" => Some(PolicyChange::Compact(*value == "true")),
        "tombstone_ms" => Some(PolicyChange::TombstoneMs(value.parse().unwrap())),
        "retention_age_ms" => Some(PolicyChange::RetentionAgeMs(value.parse().ok())),
        _ => None,
    };
    words.0.iter().filter_map(change).collect()
}

fn question(registry: &Registry, verb: &str, words: &Words<'_>) -> Option<String> {
    Some(match verb {
        "nodes" => lines(registry.nodes().map(|node| {
            let rack = node.rack.as_deref().unwrap_or("-");
            let (id, peer, replica) = (node.id, &node.addresses.peer, node.metadata_replica);
            format!("node {id} at {peer} rack {rack}: {:?}, metadata replica {replica}", node.state)
        })),
        "groups" => lines((0..=10_000).map(GroupId).filter_map(|group| {
            let membership = registry.membership(group)?;
            Some(format!("group {group}: {}", describe(membership)))
        })),
        "steps" => {
            let steps = registry.steps(&led(registry, words));
            lines(steps.into_iter().map(|(group, next)| step(group, next)))
        }
        "turns" => {
            let turns = registry.turns(&led(registry, words), &words.nodes("down"));
            lines(turns.iter().map(|group| format!("group {group}")))
        }
        "moves" => lines(registry.moves().map(|m| {
            format!("group {}: node {} to {}, {:?}, {:?}", m.group, m.from, m.to, m.reason, m.phase)
        })),
        "balance" => {
            let moves = registry.plan_balance(&words.nodes("down"));
            lines(moves.iter().map(|m| format!("{}:{}>{}", m.group, m.from, m.to)))
        }
        "level" => {
            let known = [
                Feature::Recovery,
                Feature::Replacement,
                Feature::ReplicaCounts,
                Feature::Tenants,
                Feature::Reshaping,
            ];
            let allowed = known
                .into_iter()
                .filter(|feature| registry.allows(*feature))
                .map(|feature| feature.to_string());
            format!("level {}\n{}", registry.level(), lines(allowed))
        }
        "drained" => registry.is_drained(NodeId(words.number("node"))).to_string(),
        "recoverable" => {
            registry.is_recoverable(NodeId(words.number("node")), &words.nodes("down")).to_string()
        }
        "waiting" => {
            let waiting = registry.restoring(RequestId(words.number("request")));
            lines(waiting.iter().map(|(group, replica)| format!("group {group}: replica {replica}")))
        }
        "replicas" => lines(registry.replicas_on(NodeId(words.number("node"))).iter().map(desired)),
        "fate" => {
            let (group, replica) = (GroupId(words.number("group")), ReplicaId(words.number("replica")));
            format!("{:?}", registry.fate(group, replica))
        }
        "transfers" => {
            let leaders =
                words.replicas("leaders").into_iter().map(|(r, n)| (GroupId(n.0 as u32), r)).collect();
            let up: BTreeSet<_> = words.list("up").iter().map(|node| NodeId(node.parse().unwrap())).collect();
            let transfers = registry.leader_transfers(&leaders, &up);
            lines(transfers.iter().map(|t| format!("group {}: from {} to {}", t.group, t.from, t.to)))
        }
        _ => return of_topics(registry, verb, words),
    })
}

fn of_topics(registry: &Registry, verb: &str, words: &Words<'_>) -> Option<String> {
    Some(match verb {
        "topics" => lines(registry.topics().map(|topic| format!("{} {}", topic.id, topic.name))),
        "route" => {
            let topic = registry.topic_named(&words.text("topic").unwrap()).unwrap();
            let hash = KeyHash(words.number("hash"));
            let partition = registry.partition_for(topic.id, hash).unwrap();
            assert_eq!(registry.topic_route(topic).partition_for(hash).unwrap().group, partition.group);
            format!("partition {} (group {}, {})", partition.index, partition.group, partition.range)
        }
        "partitions" => partitions(registry, words),
        "routing" => {
            let topic = registry.topic_named(&words.text("topic").unwrap()).unwrap();
            let route = registry.topic_route(topic);
            let open = route.partitions.iter().map(|partition| routed("", partition));
            lines(open.chain(route.sealed.iter().map(|partition| routed("sealed ", partition))))
        }
        "scale" => match registry.scale_steps(TopicId(words.number("topic")), words.number("to")) {
            Ok(steps) => lines(steps.iter().map(shown_reshape)),
            Err(refused) => rejected(&refused),
        },
        _ => return None,
    })
}

/// All partitions of a topic, with their families.
fn partitions(registry: &Registry, words: &Words<'_>) -> String {
    let topic = TopicId(words.number("topic"));
    let count = registry.topic(topic).map_or(0, |topic| topic.partitions);
    assert_eq!(registry.partitions(topic).count() as u32, count);
    lines(registry.all_partitions(topic).map(|partition| {
        let group = partition.group;
        let mut text =
            format!("{} (group {group}, {}): {:?}", partition.index, partition.range, registry.stage(group));
        if let Some(lineage) = registry.lineage(group) {
            write!(text, ", of {}, to {}", groups(&lineage.parents), groups(&lineage.children)).unwrap();
        }
        for (does, says) in [
            (registry.is_to_be_sealed(group), ", is to be sealed"),
            (registry.is_retirable(group), ", may be removed"),
        ] {
            text.push_str(if does { says } else { "" });
        }
        text
    }))
}

fn routed(what: &str, route: &PartitionRoute) -> String {
    format!("{what}{} (group {}, {}) after {}", route.index, route.group, route.range, groups(&route.parents))
}

fn groups(groups: &[GroupId]) -> String {
    let all: Vec<String> = groups.iter().map(ToString::to_string).collect();
    if all.is_empty() { "none".to_owned() } else { all.join("+") }
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = lines.collect();
    if all.is_empty() { "none".to_owned() } else { all.join("\n") }
}

fn describe(membership: &Membership) -> String {
    let formed = if membership.formed { "formed" } else { "unformed" };
    let mut text = format!("{formed} {}", set(&membership.current));
    if membership.target != membership.current {
        write!(text, " to be {}", set(&membership.target)).unwrap();
    }
    write!(text, ", prefers {}", membership.preferred_leader).unwrap();
    if !membership.kept.is_empty() {
        write!(text, ", keeps {:?}", membership.kept).unwrap();
    }
    text
}

fn set(set: &ReplicaSet) -> String {
    let list = |replicas: &BTreeMap<ReplicaId, NodeId>| {
        let all: Vec<String> = replicas.iter().map(|(replica, node)| format!("{replica}@{node}")).collect();
        all.join(",")
    };
    let voters = list(&set.voters);
    if set.learners.is_empty() { voters } else { format!("{voters} + {}", list(&set.learners)) }
}

fn desired(desired: &DesiredReplica) -> String {
    let DesiredReplica { partition, replica, contents, role, members, formed, restoring } = desired;
    let contents = format!("{contents:?}");
    let kind = contents.split('(').next().unwrap();
    let forms = match (*formed, *role, *restoring) {
        (false, Role::Voter, false) => ", forms",
        (false, Role::Voter, true) => ", waits for its image",
        _ => "",
    };
    let (group, topic, index) = (partition.group, partition.topic, partition.index);
    format!(
        "group {group} (topic {topic}/{index}, {kind}): replica {replica} {role:?} of {}{forms}",
        set(members)
    )
}

fn row(change: &RowChange) -> String {
    let (tag, id) = change.key.split_first().unwrap();
    let number = || id.iter().fold(0u64, |all, byte| all << 8 | u64::from(*byte)).to_string();
    let name = match tag {
        1 => "cluster".to_owned(),
        2 => format!("node {}", number()),
        3 => format!("topic {}", number()),
        4 => format!("partition {}", number()),
        5 => format!("membership {}", number()),
        6 => format!("producer {}", String::from_utf8_lossy(id)),
        7 => format!("reissue {}", number()),
        8 => format!("link {}", number()),
        9 => format!("move {}", number()),
        10 => "level".to_owned(),
        11 => "restoration".to_owned(),
        12 => format!("lineage {}", number()),
        other => panic!("unknown row {other}"),
    };
    match change.value {
        Some(_) => format!("put {name}"),
        None => format!("delete {name}"),
    }
}
