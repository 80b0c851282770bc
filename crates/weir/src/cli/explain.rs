//! `weir explain`: why a message is not being delivered.

use clap::{Args, Subcommand};
use weir_client::MessageRef;

use super::{Connection, value};
use crate::failure::Outcome;
use crate::output::{ExplanationView, Screen};

/// Say why a message is not being delivered
#[derive(Debug, Subcommand)]
pub(super) enum Explain {
    /// A message of a queue, or what comes next of a key: its state, who has it, what it waits for
    Queue(OfQueue),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir explain queue tasks --message 0/17
  weir explain queue orders --key customer-7 --json")]
pub(super) struct OfQueue {
    /// The queue
    queue: String,
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// Partition and id, as `weir queue peek` shows them
    #[arg(long, value_name = "PARTITION/ID", value_parser = value::message)]
    message: Option<MessageRef>,
    /// What comes next of this key; only of a FIFO queue
    #[arg(long)]
    key: Option<String>,
}

impl Explain {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let Self::Queue(OfQueue { queue, subject, connection }) = self;
        let admin = connection.admin().await?;
        let explanation = match (subject.message, subject.key) {
            (Some(message), _) => admin.explain_message(&queue, message).await?,
            (None, key) => admin.explain_key(&queue, key.unwrap_or_default()).await?,
        };
        screen.show(&ExplanationView::of(&queue, &explanation))
    }
}
