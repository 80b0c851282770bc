//! `weir queue peek` and `weir queue stats`: nothing changes.

use clap::Args;
use weir_client::PeekOptions;

use crate::cli::Connection;
use crate::failure::Outcome;
use crate::output::{PeekedList, Screen, StatsView};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir queue peek tasks
  weir queue peek tasks --max 10 --partition 0 --from 17 --json")]
pub(in crate::cli) struct Peek {
    /// The queue
    queue: String,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    connection: Connection,
}

/// Which messages to look at.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Range {
    /// At most so many messages
    #[arg(long, short = 'n', default_value_t = 20)]
    max: u32,
    /// Only this partition
    #[arg(long)]
    partition: Option<u32>,
    /// From this message id on, in each partition
    #[arg(long, value_name = "ID", default_value_t = 0)]
    from: u64,
}

impl From<Range> for PeekOptions {
    fn from(range: Range) -> Self {
        Self { partition: range.partition, from_message_id: range.from, max_messages: range.max }
    }
}

impl Peek {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let messages = self.connection.admin().await?.peek(&self.queue, self.range.into()).await?;
        screen.show(&PeekedList::of(&messages))
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir queue stats tasks")]
pub(in crate::cli) struct Stats {
    /// The queue
    queue: String,
    #[command(flatten)]
    connection: Connection,
}

impl Stats {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let stats = self.connection.admin().await?.queue_stats(&self.queue).await?;
        screen.show(&StatsView::of(&self.queue, &stats))
    }
}
