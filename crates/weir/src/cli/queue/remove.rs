//! `weir queue cancel` and `weir queue purge`: messages are removed without being delivered.

use clap::Args;
use serde_json::json;
use weir_client::MessageRef;

use crate::cli::confirm::confirm;
use crate::cli::{Connection, value};
use crate::failure::Outcome;
use crate::output::{Done, Screen, count};

#[derive(Debug, Args)]
#[command(after_help = "\
A message that is due by now is not removed: a consumer may have it.

Examples:
  weir queue cancel tasks 0/17 2/4")]
pub(in crate::cli) struct Cancel {
    /// The queue
    queue: String,
    /// Partition and id, as `weir queue peek` shows them
    #[arg(value_name = "PARTITION/ID", value_parser = value::message, required = true)]
    messages: Vec<MessageRef>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir queue purge tasks --yes")]
pub(in crate::cli) struct Purge {
    /// The queue
    queue: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Cancel {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let cancelled = self.connection.admin().await?.cancel_scheduled(&self.queue, self.messages).await?;
        let text = format!("{} of `{}` cancelled", count(cancelled, "scheduled message"), self.queue);
        screen.show(&Done { text, data: json!({ "cancelled": cancelled }) })
    }
}

impl Purge {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        if !self.yes {
            confirm("empty", &self.queue)?;
        }
        let purged = self.connection.admin().await?.purge(&self.queue).await?;
        let text = format!("{} of `{}` removed", count(purged, "message"), self.queue);
        screen.show(&Done { text, data: json!({ "purged": purged }) })
    }
}
