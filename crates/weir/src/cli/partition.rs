//! `weir partition`: split, merge.

use clap::{Args, Subcommand};

use super::{Connection, value};
use crate::failure::Outcome;
use crate::output::{ReshapedView, Screen};

/// Split and merge partitions of a topic
#[derive(Debug, Subcommand)]
pub(super) enum Partition {
    /// Replace a partition by two, each with a part of its keys
    Split(Split),
    /// Replace two neighbours by one partition with the keys of both
    Merge(Merge),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Producers and consumers go on meanwhile, and every key keeps its order: the partition takes in
nothing new any more, and what a stream or a FIFO queue holds of a key there is read or delivered
before what a child takes in of it. It stays for a day at least, and as long as it holds something.
`weir topic describe` shows the keys of each partition.

Examples:
  weir partition split events 0
  weir partition split events 0 --at 20000000")]
pub(super) struct Split {
    topic: String,
    /// Its number
    partition: u32,
    /// Where to cut: the smallest key hash of the second child, in hexadecimal digits [default: the middle]
    #[arg(long, value_name = "HEX", value_parser = value::key_hash)]
    at: Option<u32>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Neighbours own key hashes that follow each other: the last one of LEFT is right before the first
one of RIGHT. `weir topic describe` shows them.

Examples:
  weir partition merge events 3 4")]
pub(super) struct Merge {
    topic: String,
    /// Number of the partition with the lower key hashes
    left: u32,
    /// Number of its neighbour
    right: u32,
    #[command(flatten)]
    connection: Connection,
}

impl Partition {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        match self {
            Self::Split(split) => split.run(screen).await,
            Self::Merge(merge) => merge.run(screen).await,
        }
    }
}

impl Split {
    async fn run(self, screen: Screen) -> Outcome {
        let admin = self.connection.admin().await?;
        let reshaped = admin.split_partition(&self.topic, self.partition, self.at).await?;
        screen.show(&ReshapedView::of(&reshaped, &admin.describe_topic(&self.topic).await?))
    }
}

impl Merge {
    async fn run(self, screen: Screen) -> Outcome {
        let admin = self.connection.admin().await?;
        let reshaped = admin.merge_partitions(&self.topic, self.left, self.right).await?;
        screen.show(&ReshapedView::of(&reshaped, &admin.describe_topic(&self.topic).await?))
    }
}
