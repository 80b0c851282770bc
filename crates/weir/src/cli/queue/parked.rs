//! `weir queue parked`: messages that were set aside.

use clap::{Args, Subcommand};
use serde_json::json;
use weir_client::{MessageRef, ParkedSelection};

use super::look::Range;
use crate::cli::{Connection, value};
use crate::failure::Outcome;
use crate::output::{Done, PeekedList, Screen, count};

/// List, redrive and discard messages that were set aside
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Parked {
    /// List parked messages and why they are parked, oldest first
    List(List),
    /// Make parked messages ready again, at their place, with their attempts reset
    Redrive(Redrive),
    /// Delete parked messages
    Discard(Discard),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir queue parked list tasks")]
pub(in crate::cli) struct List {
    /// The queue
    queue: String,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir queue parked redrive tasks 0/17 2/4
  weir queue parked redrive tasks --all")]
pub(in crate::cli) struct Redrive {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir queue parked discard tasks 0/17
  weir queue parked discard tasks --all")]
pub(in crate::cli) struct Discard {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Which {
    /// The queue
    queue: String,
    /// Partition and id, as `list` shows them
    #[arg(value_name = "PARTITION/ID", value_parser = value::message, required_unless_present = "all")]
    messages: Vec<MessageRef>,
    /// All parked messages
    #[arg(long, conflicts_with = "messages")]
    all: bool,
}

impl Which {
    fn selection(&self) -> ParkedSelection {
        if self.all { ParkedSelection::All } else { ParkedSelection::Messages(self.messages.clone()) }
    }
}

impl Parked {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        match self {
            Self::List(list) => {
                let admin = list.connection.admin().await?;
                screen.show(&PeekedList::of(&admin.list_parked(&list.queue, list.range.into()).await?))
            }
            Self::Redrive(Redrive { which, connection }) => {
                let redriven = connection.admin().await?.redrive(&which.queue, which.selection()).await?;
                let text = format!("{} of `{}` made ready again", count(redriven, "message"), which.queue);
                screen.show(&Done { text, data: json!({ "redriven": redriven }) })
            }
            Self::Discard(Discard { which, connection }) => {
                let discarded = connection.admin().await?.discard(&which.queue, which.selection()).await?;
                let text = format!("{} of `{}` deleted", count(discarded, "message"), which.queue);
                screen.show(&Done { text, data: json!({ "discarded": discarded }) })
            }
        }
    }
}
