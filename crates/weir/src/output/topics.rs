//! Topics and their partitions.

use serde::Serialize;
use serde_json::{Value, json};
use weir_client::{PartitionStage, PartitionStatus, TopicDescription, TopicInfo};
use weir_types::{Backoff, Compaction, QueuePolicy, Retention, StreamPolicy, TopicKind, TopicPolicy};

use super::reshaped::{keys, numbers};
use super::{Grid, Page, View, bytes, count, duration_ms, time_ms};

/// All topics.
#[derive(Debug, Serialize)]
pub(crate) struct TopicList {
    topics: Vec<TopicView>,
}

impl TopicList {
    pub(crate) fn of(topics: &[TopicInfo]) -> Self {
        Self { topics: topics.iter().map(TopicView::of).collect() }
    }
}

impl View for TopicList {
    fn text(&self, page: Page) -> String {
        let mut grid = Grid::new(page, &["topic", "kind", "#partitions", "#replicas", "created"]);
        for topic in &self.topics {
            grid.row([
                topic.name.clone(),
                topic.kind.to_owned(),
                topic.partitions.to_string(),
                topic.replicas.to_string(),
                topic.created_at.clone(),
            ]);
        }
        grid.finish("there are no topics; `weir topic create NAME --kind queue|stream` makes one")
    }
}

/// One topic.
#[derive(Debug, Serialize)]
pub(crate) struct TopicView {
    name: String,
    kind: &'static str,
    topic_id: u32,
    partitions: u32,
    replicas: u32,
    created_at: String,
    settings: Value,
    #[serde(skip)]
    settings_text: Vec<(&'static str, String)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partition_status: Vec<PartitionView>,
}

impl TopicView {
    pub(crate) fn of(topic: &TopicInfo) -> Self {
        Self {
            name: topic.name.clone(),
            kind: kind_name(topic.kind),
            topic_id: topic.topic_id,
            partitions: topic.partitions,
            replicas: topic.replicas,
            created_at: time_ms(topic.created_at_ms),
            settings: settings_json(&topic.policy),
            settings_text: settings_text(&topic.policy),
            partition_status: Vec::new(),
        }
    }

    pub(crate) fn of_description(description: &TopicDescription) -> Self {
        let partition_status = description.partitions.iter().map(PartitionView::of).collect();
        Self { partition_status, ..Self::of(&description.topic) }
    }
}

impl View for TopicView {
    fn text(&self, page: Page) -> String {
        let mut lines = vec![format!(
            "{} `{}`: {}, {} each, created {}",
            self.kind,
            self.name,
            count(self.partitions.into(), "partition"),
            count(self.replicas.into(), "replica"),
            self.created_at
        )];
        lines.extend(self.settings_text.iter().map(|(name, value)| format!("  {name:<22}{value}")));
        let moving = self.partition_status.iter().filter(|partition| partition.reassigning).count();
        if moving > 0 {
            let partitions = count(moving as u64, "partition");
            lines.push(format!("  {:<22}those of {partitions} come or go", "replicas"));
        }
        if !self.partition_status.is_empty() {
            lines.push(String::new());
            lines.push(partition_table(&self.partition_status, page));
        }
        let families: Vec<_> =
            self.partition_status.iter().filter_map(|partition| partition.family.as_ref()).collect();
        if families.iter().any(|family| family.is_shown()) {
            lines.push(String::new());
            lines.push(family_table(&self.partition_status, page));
        }
        lines.join("\n")
    }
}

/// One partition.
#[derive(Debug, Serialize)]
pub(crate) struct PartitionView {
    topic: String,
    partition: u32,
    group_id: u32,
    leader: Option<u64>,
    voters: Vec<u64>,
    learners: Vec<u64>,
    reassigning: bool,
    term: u64,
    committed: u64,
    lag_entries: u64,
    /// None for the cluster's own groups.
    #[serde(flatten)]
    family: Option<FamilyView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<Value>,
    #[serde(skip)]
    holds: String,
    #[serde(skip)]
    size: String,
}

impl PartitionView {
    pub(crate) fn of(status: &PartitionStatus) -> Self {
        Self::named(&status.topic, status)
    }

    /// A partition under another name than its topic's.
    pub(crate) fn named(topic: &str, status: &PartitionStatus) -> Self {
        let (holds, size) = match (&status.stream, &status.queue) {
            (Some(stream), _) => {
                (format!("offsets {} to {}", stream.start_offset, stream.end_offset), bytes(stream.bytes))
            }
            (_, Some(queue)) => (
                format!(
                    "{} ready, {} leased, {} scheduled, {} parked",
                    queue.ready, queue.leased, queue.scheduled, queue.parked
                ),
                bytes(queue.bytes),
            ),
            (None, None) => ("-".to_owned(), "-".to_owned()),
        };
        Self {
            topic: topic.to_owned(),
            partition: status.partition,
            group_id: status.group_id,
            leader: status.leader,
            voters: status.voters.clone(),
            learners: status.learners.clone(),
            reassigning: status.reassigning,
            term: status.term,
            committed: status.committed,
            lag_entries: status.lag_entries.iter().map(|(_, lag)| *lag).max().unwrap_or(0),
            family: (!status.topic.is_empty()).then(|| FamilyView::of(status)),
            stream: status.stream.map(|stream| {
                serde_json::json!({
                    "start_offset": stream.start_offset,
                    "end_offset": stream.end_offset,
                    "bytes": stream.bytes,
                })
            }),
            queue: status.queue.map(|queue| {
                serde_json::json!({
                    "ready": queue.ready,
                    "leased": queue.leased,
                    "scheduled": queue.scheduled,
                    "parked": queue.parked,
                    "bytes": queue.bytes,
                })
            }),
            holds,
            size,
        }
    }
}

/// The keys of a partition, and where it stands between those that it came of and those that replace it.
#[derive(Debug, Serialize)]
struct FamilyView {
    key_first: u32,
    key_last: u32,
    stage: &'static str,
    parents: Vec<u32>,
    children: Vec<u32>,
}

impl FamilyView {
    fn of(status: &PartitionStatus) -> Self {
        Self {
            key_first: status.key_first,
            key_last: status.key_last,
            stage: match status.stage {
                PartitionStage::Open => "open",
                PartitionStage::Coming => "coming",
                PartitionStage::Sealing => "sealing",
                PartitionStage::Sealed => "sealed",
            },
            parents: status.parents.clone(),
            children: status.children.clone(),
        }
    }

    /// Whether there is more to say of it than its keys.
    fn is_shown(&self) -> bool {
        self.stage != "open" || !self.parents.is_empty() || !self.children.is_empty()
    }
}

/// What was split and merged, in order of keys.
fn family_table(partitions: &[PartitionView], page: Page) -> String {
    let families = partitions.iter().filter_map(|partition| Some((partition, partition.family.as_ref()?)));
    let mut families: Vec<_> = families.collect();
    families.sort_by_key(|(partition, family)| (family.key_first, partition.partition));
    let mut grid = Grid::new(page, &["#partition", "keys", "state", "came of", "replaced by"]);
    for (partition, family) in families {
        grid.row([
            partition.partition.to_string(),
            keys(family.key_first, family.key_last),
            family.stage.to_owned(),
            numbers(&family.parents),
            numbers(&family.children),
        ]);
    }
    grid.finish("no partitions")
}

/// Partitions, one a row. `lag` is that of the replica furthest behind.
pub(super) fn partition_table(partitions: &[PartitionView], page: Page) -> String {
    let mut grid =
        Grid::new(page, &["topic", "#partition", "#leader", "voters", "#term", "#lag", "holds", "#size"]);
    for partition in partitions {
        grid.row([
            partition.topic.clone(),
            partition.partition.to_string(),
            partition.leader.map_or_else(|| "none".to_owned(), |node| node.to_string()),
            nodes(&partition.voters, &partition.learners),
            partition.term.to_string(),
            partition.lag_entries.to_string(),
            partition.holds.clone(),
            partition.size.clone(),
        ]);
    }
    grid.finish("no partitions")
}

fn nodes(voters: &[u64], learners: &[u64]) -> String {
    let list = |nodes: &[u64]| nodes.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    if learners.is_empty() { list(voters) } else { format!("{} (+{})", list(voters), list(learners)) }
}

fn kind_name(kind: TopicKind) -> &'static str {
    match kind {
        TopicKind::Queue => "queue",
        TopicKind::Stream => "stream",
    }
}

/// By name, in the units of the names: in storage they have numbers alone.
fn settings_json(policy: &TopicPolicy) -> Value {
    match policy {
        TopicPolicy::Queue(QueuePolicy {
            fifo,
            max_inflight_per_key,
            lease_ms,
            attempts_max,
            backoff: Backoff { base_ms, max_ms },
            ttl_ms,
            park,
            bytes_max,
            messages_max,
            max_inflight,
            max_inflight_per_session,
            keep_ms,
            keep_bytes_max,
            fair_by,
        }) => json!({
            "fifo": fifo,
            "max_inflight_per_key": max_inflight_per_key,
            "lease_ms": lease_ms,
            "attempts_max": attempts_max,
            "backoff": { "base_ms": base_ms, "max_ms": max_ms },
            "ttl_ms": ttl_ms,
            "park": park.to_string(),
            "bytes_max": bytes_max,
            "messages_max": messages_max,
            "max_inflight": max_inflight,
            "max_inflight_per_session": max_inflight_per_session,
            "keep_ms": keep_ms,
            "keep_bytes_max": keep_bytes_max,
            "fair_by": fair_by,
        }),
        TopicPolicy::Stream(StreamPolicy { retention, compaction }) => {
            let Retention { age_ms, bytes, groups } = retention;
            let Compaction { enabled, after_ms, tombstone_ms } = compaction;
            json!({
                "retention": { "age_ms": age_ms, "bytes": bytes, "groups": groups },
                "compaction": { "enabled": enabled, "after_ms": after_ms, "tombstone_ms": tombstone_ms },
            })
        }
    }
}

fn settings_text(policy: &TopicPolicy) -> Vec<(&'static str, String)> {
    let never = |ms: Option<u64>| ms.map_or_else(|| "never".to_owned(), duration_ms);
    match policy {
        TopicPolicy::Queue(queue) => {
            let order = if queue.fifo { "fifo per key" } else { "plain" };
            let backoff =
                format!("{} to {}", duration_ms(queue.backoff.base_ms), duration_ms(queue.backoff.max_ms));
            let limit = format!("{} or {} messages", bytes(queue.bytes_max), queue.messages_max);
            let always = [
                ("order", order.to_owned()),
                ("lease", duration_ms(queue.lease_ms)),
                ("attempts", queue.attempts_max.to_string()),
                ("backoff", backoff),
                ("ttl", never(queue.ttl_ms)),
                ("limit per partition", limit),
            ];
            always.into_iter().chain(settings_in_use(queue)).collect()
        }
        TopicPolicy::Stream(stream) => {
            let size = stream.retention.bytes.map_or_else(|| "unlimited".to_owned(), bytes);
            let mut settings = vec![("retention", never(stream.retention.age_ms)), ("retention bytes", size)];
            if !stream.retention.groups.is_empty() {
                let groups: Vec<_> = stream.retention.groups.iter().map(String::as_str).collect();
                settings.push(("until read by", groups.join(", ")));
            }
            if stream.compaction.enabled {
                let Compaction { after_ms, tombstone_ms, .. } = stream.compaction;
                settings.push(("compacted after", duration_ms(after_ms)));
                settings.push(("tombstones stay", duration_ms(tombstone_ms)));
            }
            settings
        }
    }
}

/// What most queues have no use for.
fn settings_in_use(queue: &QueuePolicy) -> impl Iterator<Item = (&'static str, String)> {
    let park = queue.fifo.then(|| ("dead letters", queue.park.to_string()));
    let per_partition = queue.max_inflight.map(|max| format!("{max} per partition"));
    let per_session = queue.max_inflight_per_session.map(|max| format!("{max} per session"));
    let leased: Vec<String> = per_partition.into_iter().chain(per_session).collect();
    let leased = (!leased.is_empty()).then(|| ("leased at once", leased.join(", ")));
    let kept = queue.keep_ms.map(|ms| {
        ("kept after ack", format!("{}, at most {}", duration_ms(ms), bytes(queue.keep_bytes_max)))
    });
    let shared = queue.fair_by.as_ref().map(|header| ("fair by", format!("header {header}")));
    park.into_iter().chain(leased).chain(kept).chain(shared)
}

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use weir_client::QueuePartition;

    use super::*;

    pub(in crate::output) fn description() -> TopicDescription {
        let topic = TopicInfo {
            topic_id: 7,
            name: "tasks".to_owned(),
            kind: TopicKind::Queue,
            partitions: 1,
            replicas: 3,
            policy: TopicPolicy::Queue(QueuePolicy::default()),
            created_at_ms: 0,
        };
        TopicDescription { topic, partitions: vec![partition(0)] }
    }

    pub(in crate::output) fn partition(number: u32) -> PartitionStatus {
        PartitionStatus {
            topic: "tasks".to_owned(),
            partition: number,
            group_id: 3,
            kind: Some(TopicKind::Queue),
            voters: vec![1, 2, 3],
            reassigning: true,
            learners: vec![4],
            leader: Some(2),
            term: 5,
            committed: 99,
            lag_entries: vec![(1, 0), (3, 12)],
            stream: None,
            queue: Some(QueuePartition { ready: 4, leased: 3, scheduled: 2, parked: 1, bytes: 2048 }),
            key_first: 0,
            key_last: u32::MAX,
            stage: PartitionStage::Open,
            parents: Vec::new(),
            children: Vec::new(),
        }
    }

    #[test]
    fn a_topic_that_was_split_shows_who_has_which_keys_and_fits_a_page() {
        let part =
            |number, stage, (first, last): (u32, u32), parents: &[u32], children: &[u32]| PartitionStatus {
                stage,
                key_first: first,
                key_last: last,
                parents: parents.to_vec(),
                children: children.to_vec(),
                ..partition(number)
            };
        let half = 0x8000_0000;
        let partitions = vec![
            part(0, PartitionStage::Sealed, (0, u32::MAX), &[], &[1, 2]),
            part(1, PartitionStage::Open, (0, half - 1), &[0], &[]),
            part(2, PartitionStage::Sealing, (half, u32::MAX), &[0], &[3, 4]),
            part(3, PartitionStage::Coming, (half, u32::MAX - 1), &[2], &[]),
        ];
        let described = TopicDescription { partitions, ..description() };
        let text = TopicView::of_description(&described).text(Page { colour: false, width: Some(100) });
        let (_, table) = text.rsplit_once("\n\n").unwrap();
        assert_eq!(
            table,
            "partition  keys               state    came of  replaced by\n\
             ────────────────────────────────────────────────────────────\n\
             \x20       0  00000000-ffffffff  sealed            1, 2\n\
             \x20       1  00000000-7fffffff  open     0\n\
             \x20       2  80000000-ffffffff  sealing  0        3, 4\n\
             \x20       3  80000000-fffffffe  coming   2"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        let value = serde_json::to_value(TopicView::of_description(&described)).unwrap();
        assert_eq!(value["partition_status"][0]["stage"], "sealed");
        assert_eq!(value["partition_status"][0]["children"], serde_json::json!([1, 2]));
    }

    #[test]
    fn a_topic_is_described_in_lines_and_a_table() {
        let page = Page { colour: false, width: None };
        assert_eq!(
            TopicView::of_description(&description()).text(page),
            "queue `tasks`: 1 partition, 3 replicas each, created 1970-01-01T00:00:00Z\n\
             \x20 order                 plain\n\
             \x20 lease                 30s\n\
             \x20 attempts              16\n\
             \x20 backoff               0s to 1m\n\
             \x20 ttl                   never\n\
             \x20 limit per partition   10.0 GiB or 100000000 messages\n\
             \x20 replicas              those of 1 partition come or go\n\
             \n\
             topic  partition  leader  voters      term  lag  holds                                        size\n\
             ───────────────────────────────────────────────────────────────────────────────────────────────────\n\
             tasks          0       2  1,2,3 (+4)     5   12  4 ready, 3 leased, 2 scheduled, 1 parked  2.0 KiB"
        );
    }

    #[test]
    fn settings_that_are_in_use_are_shown_and_others_are_not() {
        let policy = QueuePolicy {
            fifo: true,
            max_inflight: Some(7),
            max_inflight_per_session: Some(2),
            keep_ms: Some(3_600_000),
            fair_by: Some("customer".to_owned()),
            ..QueuePolicy::default()
        };
        let shown: Vec<String> =
            settings_in_use(&policy).map(|(name, value)| format!("{name}: {value}")).collect();
        let expected = [
            "dead letters: park_message",
            "leased at once: 7 per partition, 2 per session",
            "kept after ack: 1h, at most 1.0 GiB",
            "fair by: header customer",
        ];
        assert_eq!(shown, expected);
        assert_eq!(settings_in_use(&QueuePolicy::default()).count(), 0);
    }

    #[test]
    fn json_holds_every_number_by_name() {
        let value = serde_json::to_value(TopicView::of_description(&description())).unwrap();
        assert_eq!(value["settings"]["lease_ms"], 30_000);
        assert_eq!(value["partition_status"][0]["queue"]["leased"], 3);
        assert_eq!(value["partition_status"][0]["lag_entries"], 12);
    }
}
