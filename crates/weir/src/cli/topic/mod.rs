//! `weir topic`: create, list, describe, alter, scale, delete, and the links between topics.

mod links;
mod scale;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::json;
use weir_client::{GroupNames, NewTopic, ParkPolicy, QueueSettings, Settings, StreamSettings};
use weir_types::TopicKind;

use links::{DeadLetters, Forward, Links, Subscribe};
use scale::Scale;

use super::confirm::confirm;
use super::{Connection, value};
use crate::failure::{Failure, Outcome};
use crate::output::{Done, Screen, TopicList, TopicView, count};

/// Create, show, alter, delete and link topics
#[derive(Debug, Subcommand)]
pub(super) enum Topic {
    /// Create a queue or a stream
    Create(Create),
    /// List all topics
    List(List),
    /// Show one topic and its partitions
    Describe(Describe),
    /// Change settings of a topic; what is not named stays
    Alter(Alter),
    /// Split or merge partitions until a topic has so many
    Scale(Scale),
    /// Delete a topic and everything in it
    Delete(Delete),
    /// Move every message of a queue on to another topic
    Forward(Forward),
    /// Move dead letters of a queue to another topic
    DeadLetters(DeadLetters),
    /// Feed a queue from a stream
    Subscribe(Subscribe),
    /// List the links between topics
    Links(Links),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir topic create tasks --kind queue --partitions 3 --replicas 3
  weir topic create orders --kind queue --fifo --lease 1m --attempts 5
  weir topic create invoices --kind queue --fifo --park block_key
  weir topic create jobs --kind queue --fair-by customer
  weir topic create events --kind stream --retention 7d --retention-bytes 100GiB
  weir topic create steps --kind stream --retain-until-read-by audit,billing --retention-bytes 100GiB
  weir topic create prices --kind stream --compact --compact-after 1h")]
pub(super) struct Create {
    /// 1 to 200 of a-z A-Z 0-9 . _ -
    name: String,
    /// queue: each message goes to one consumer; stream: records stay and any number of groups read them
    #[arg(long, value_parser = PossibleValuesParser::new(["queue", "stream"]))]
    kind: String,
    /// 1 to 1024; partitions spread a topic over the nodes, and a key lives in one of them
    #[arg(long, short, default_value_t = 3)]
    partitions: u32,
    /// Copies of each partition, at most the number of nodes
    #[arg(long, short, default_value_t = 3)]
    replicas: u32,
    /// Keep the order of messages with one key (queue)
    #[arg(long)]
    fifo: bool,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir topic list
  weir topic list --json")]
pub(super) struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir topic describe tasks")]
pub(super) struct Describe {
    name: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A new number of replicas holds at once, and its replicas come and go while the topic is in use: fresh ones copy everything
before they vote, surplus ones go afterwards. `weir topic describe` shows how far it is.

Examples:
  weir topic alter tasks --lease 2m --attempts 3
  weir topic alter events --retention never
  weir topic alter tasks --replicas 5")]
pub(super) struct Alter {
    name: String,
    /// Replicas of each partition, each on its own node
    #[arg(long, short, value_name = "N")]
    replicas: Option<u32>,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir topic delete tasks --yes")]
pub(super) struct Delete {
    name: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Settings of either kind. Which of them fit is checked against the topic's kind.
#[derive(Debug, Default, Args)]
struct SettingsArgs {
    /// Leases at once per key of a FIFO queue [default: 1]
    #[arg(long, value_name = "N", help_heading = "Queue settings")]
    max_inflight_per_key: Option<u32>,
    /// Messages of a partition that are leased at once; or `unlimited`, which is 1000000 [default: unlimited]
    #[arg(long, value_name = "N", value_parser = value::count_or_unlimited, help_heading = "Queue settings")]
    max_inflight: Option<u32>,
    /// Messages of a partition that one worker holds at once; or `unlimited` [default: unlimited]
    #[arg(long, value_name = "N", value_parser = value::count_or_unlimited, help_heading = "Queue settings")]
    max_inflight_per_session: Option<u32>,
    /// How long a lease runs when the consumer does not say [default: 30s]
    #[arg(long, value_name = "SPAN", value_parser = value::span_ms, help_heading = "Queue settings")]
    lease: Option<u64>,
    /// Deliveries before a message is parked [default: 16]
    #[arg(long, value_name = "N", help_heading = "Queue settings")]
    attempts: Option<u32>,
    /// Wait before a nacked message is ready again; doubles with each attempt [default: 0s]
    #[arg(long, value_name = "SPAN", value_parser = value::span_ms, help_heading = "Queue settings")]
    backoff: Option<u64>,
    /// Longest such wait [default: 1m]
    #[arg(long, value_name = "SPAN", value_parser = value::span_ms, help_heading = "Queue settings")]
    backoff_max: Option<u64>,
    /// A message not acked this long after its arrival is gone; `never` keeps it [default: never]
    #[arg(long, value_name = "SPAN", value_parser = value::span_or_never_ms, help_heading = "Queue settings")]
    ttl: Option<u64>,
    /// What a parked message of a FIFO queue does to its key: `park_message` lets it go on, `park_key` makes it wait,
    /// `block_key` also refuses producers new messages of it [default: `park_message`]
    #[arg(long, value_name = "POLICY", value_parser = value::park, help_heading = "Queue settings")]
    park: Option<ParkPolicy>,
    /// Short for `--park park_key`, or with `=false` for `--park park_message`
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, conflicts_with = "park", help_heading = "Queue settings")]
    park_key: Option<bool>,
    /// How long acked messages are kept, for `weir queue replay`; `never` keeps none [default: never]
    #[arg(long, value_name = "SPAN", value_parser = value::span_or_never_ms, help_heading = "Queue settings")]
    keep: Option<u64>,
    /// Bytes of kept messages in a partition; beyond it the oldest go before their time [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = value::size, help_heading = "Queue settings")]
    keep_bytes: Option<u64>,
    /// Tenants take turns: the header that names a message's tenant; messages without it are one tenant of their own. Alter
    /// it at any time, for messages that come from then on; `none` ends it [default: none]
    #[arg(long, value_name = "HEADER", value_parser = value::header_or_none, help_heading = "Queue settings")]
    fair_by: Option<String>,
    /// Bytes a partition holds before it rejects producers [default: 10GiB]
    #[arg(long, value_name = "SIZE", value_parser = value::size, help_heading = "Queue settings")]
    max_bytes: Option<u64>,
    /// Messages a partition holds before it rejects producers [default: 100000000]
    #[arg(long, value_name = "N", help_heading = "Queue settings")]
    max_messages: Option<u64>,
    /// Older records are deleted; `never` keeps them [default: 7d]
    #[arg(long, value_name = "SPAN", value_parser = value::span_or_never_ms, help_heading = "Stream settings")]
    retention: Option<u64>,
    /// A larger partition deletes its oldest records; or `unlimited` [default: unlimited]
    #[arg(long, value_name = "SIZE", value_parser = value::size_or_unlimited, help_heading = "Stream settings")]
    retention_bytes: Option<u64>,
    /// Records are deleted once each of these consumer groups (up to 16, comma-separated) has committed beyond them; `none`
    /// ends that. A group that has never committed holds everything. Records that --retention or --retention-bytes
    /// deletes go unread; a new topic has --retention never unless it is given. Other groups, subscriptions and readers
    /// without a group are not waited for [default: none]
    #[arg(long, value_name = "GROUPS", value_parser = value::names_or_none, help_heading = "Stream settings")]
    retain_until_read_by: Option<value::Names>,
    /// Keep, of the records with one key, the last; a record with a key and no value deletes the key. Every record needs a
    /// key then. A new topic has --retention never unless it is given; not together with --retain-until-read-by
    /// [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Stream settings")]
    compact: Option<bool>,
    /// No record is compacted away before it is this old [default: 0s]
    #[arg(long, value_name = "SPAN", value_parser = value::span_ms, help_heading = "Stream settings")]
    compact_after: Option<u64>,
    /// A key without a value stays at least this long after the records that it deletes [default: 24h]
    #[arg(long, value_name = "SPAN", value_parser = value::span_ms, help_heading = "Stream settings")]
    tombstone_retention: Option<u64>,
}

impl SettingsArgs {
    fn queue(&self) -> QueueSettings {
        QueueSettings {
            fifo: None,
            max_inflight_per_key: self.max_inflight_per_key,
            lease_ms: self.lease,
            attempts_max: self.attempts,
            backoff_base_ms: self.backoff,
            backoff_max_ms: self.backoff_max,
            ttl_ms: self.ttl,
            park_key: self.park_key,
            max_inflight: self.max_inflight,
            max_inflight_per_session: self.max_inflight_per_session,
            keep_ms: self.keep,
            keep_bytes_max: self.keep_bytes,
            fair_by: self.fair_by.clone(),
            park: self.park.map(|park| park as i32),
            bytes_max: self.max_bytes,
            messages_max: self.max_messages,
        }
    }

    fn stream(&self) -> StreamSettings {
        StreamSettings {
            retention_ms: self.retention,
            retention_bytes: self.retention_bytes,
            retention_groups: self
                .retain_until_read_by
                .as_ref()
                .map(|groups| GroupNames { names: groups.0.clone() }),
            compact: self.compact,
            compact_after_ms: self.compact_after,
            tombstone_ms: self.tombstone_retention,
        }
    }

    /// The settings for a topic of this kind; an error when one belongs to the other.
    fn for_kind(&self, kind: TopicKind) -> Result<Settings, Failure> {
        let (queue, stream) = (self.queue(), self.stream());
        match kind {
            TopicKind::Queue if stream != StreamSettings::default() => Err(Failure::usage(
                "the settings of retention and compaction are for streams; this is a queue",
            )),
            TopicKind::Stream if queue != QueueSettings::default() => {
                Err(Failure::usage("of the settings, only those of retention and compaction are for streams"))
            }
            TopicKind::Queue => Ok(Settings::Queue(queue)),
            TopicKind::Stream => Ok(Settings::Stream(stream)),
        }
    }

    fn is_empty(&self) -> bool {
        self.queue() == QueueSettings::default() && self.stream() == StreamSettings::default()
    }
}

impl Topic {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        match self {
            Self::Create(create) => create.run(screen).await,
            Self::List(list) => list.run(screen).await,
            Self::Describe(describe) => describe.run(screen).await,
            Self::Alter(alter) => alter.run(screen).await,
            Self::Scale(scale) => scale.run(screen).await,
            Self::Delete(delete) => delete.run(screen).await,
            Self::Forward(forward) => forward.run(screen).await,
            Self::DeadLetters(letters) => letters.run(screen).await,
            Self::Subscribe(subscribe) => subscribe.run(screen).await,
            Self::Links(links) => links.run(screen).await,
        }
    }
}

impl Create {
    fn topic(&self) -> Result<NewTopic, Failure> {
        let kind: TopicKind = self.kind.parse().map_err(Failure::usage)?;
        let mut settings = self.settings.for_kind(kind)?;
        match &mut settings {
            Settings::Queue(queue) if self.fifo => queue.fifo = Some(true),
            Settings::Stream(_) if self.fifo => {
                return Err(Failure::usage(
                    "--fifo is for queues; a stream keeps the order of every partition",
                ));
            }
            _ => {}
        }
        Ok(NewTopic::new(&self.name, kind)
            .partitions(self.partitions)
            .replicas(self.replicas)
            .settings(settings))
    }

    async fn run(self, screen: Screen) -> Outcome {
        let topic = self.topic()?;
        let created = self.connection.admin().await?.create_topic(topic).await?;
        let text = format!(
            "created {} `{}`: {}, {} each",
            created.kind,
            created.name,
            count(created.partitions.into(), "partition"),
            count(created.replicas.into(), "replica")
        );
        screen.show(&Done { text, data: TopicView::of(&created) })
    }
}

impl List {
    async fn run(self, screen: Screen) -> Outcome {
        let topics = self.connection.admin().await?.list_topics().await?;
        screen.show(&TopicList::of(&topics))
    }
}

impl Describe {
    async fn run(self, screen: Screen) -> Outcome {
        let description = self.connection.admin().await?.describe_topic(&self.name).await?;
        screen.show(&TopicView::of_description(&description))
    }
}

impl Alter {
    async fn run(self, screen: Screen) -> Outcome {
        let altered = match (self.replicas, self.settings.is_empty()) {
            (None, true) => {
                let message = "nothing to alter: name at least one setting, or --replicas";
                return Err(Failure::usage(message));
            }
            (Some(replicas), true) => {
                self.connection.admin().await?.set_replicas(&self.name, replicas, None).await?
            }
            (replicas, false) => {
                let admin = self.connection.admin().await?;
                let kind = admin.describe_topic(&self.name).await?.topic.kind;
                let settings = self.settings.for_kind(kind)?;
                match replicas {
                    Some(replicas) => admin.set_replicas(&self.name, replicas, Some(settings)).await?,
                    None => admin.alter_topic(&self.name, settings).await?,
                }
            }
        };
        screen.show(&TopicView::of(&altered))
    }
}

impl Delete {
    async fn run(self, screen: Screen) -> Outcome {
        if !self.yes {
            confirm("delete", &self.name)?;
        }
        self.connection.admin().await?.delete_topic(&self.name).await?;
        let text = format!("deleted `{}`", self.name);
        screen.show(&Done { text, data: json!({ "deleted": self.name }) })
    }
}

/// Asks for the topic's name, because what is deleted does not come back.
#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        topic: Topic,
    }

    fn create(line: &str) -> Result<NewTopic, Failure> {
        let line = Line::try_parse_from(format!("topic create {line}").split_whitespace()).unwrap();
        let Topic::Create(create) = line.topic else { panic!("not a create") };
        create.topic()
    }

    #[test]
    fn a_topic_takes_the_settings_that_were_named_and_no_others() {
        let topic = create("tasks --kind queue --lease 1m --fifo --park-key --ttl never").unwrap();
        assert_eq!((topic.partitions, topic.replicas), (3, 3));
        let settings = QueueSettings {
            fifo: Some(true),
            lease_ms: Some(60_000),
            park_key: Some(true),
            ttl_ms: Some(0),
            ..QueueSettings::default()
        };
        assert_eq!(topic.settings, Some(Settings::Queue(settings)));
    }

    #[test]
    fn a_queue_is_shared_by_a_header_or_by_nobody() {
        let fair_by = |line: &str| match create(&format!("tasks --kind queue {line}")).unwrap().settings {
            Some(Settings::Queue(settings)) => settings.fair_by,
            other => panic!("{other:?}"),
        };
        assert_eq!(fair_by(""), None);
        assert_eq!(fair_by("--fair-by customer").as_deref(), Some("customer"));
        assert_eq!(fair_by("--fair-by none").as_deref(), Some(""));
        assert!(create("events --kind stream --fair-by customer").is_err());
    }

    #[test]
    fn settings_of_the_other_kind_are_refused() {
        assert!(create("events --kind stream --lease 1m").is_err());
        assert!(create("events --kind stream --fifo").is_err());
        assert!(create("tasks --kind queue --retention 1d").is_err());
        assert!(create("events --kind stream --retention 1d --retention-bytes 1GiB").is_ok());
        assert!(create("tasks --kind queue --retain-until-read-by audit").is_err());
        assert!(create("tasks --kind queue --compact").is_err());
        assert!(create("events --kind stream --compact --compact-after 1h").is_ok());
    }

    #[test]
    fn a_stream_is_kept_for_groups_or_for_none() {
        let groups = |line: &str| match create(&format!("events --kind stream {line}")).unwrap().settings {
            Some(Settings::Stream(settings)) => settings.retention_groups.map(|groups| groups.names),
            other => panic!("{other:?}"),
        };
        assert_eq!(groups(""), None);
        let both = vec!["audit".to_owned(), "billing".to_owned()];
        assert_eq!(groups("--retain-until-read-by audit,billing"), Some(both));
        assert_eq!(groups("--retain-until-read-by none"), Some(Vec::new()));
    }
}
