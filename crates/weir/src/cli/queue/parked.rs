//! `weir queue parked`: messages that were set aside.

use std::io::{self, IsTerminal as _};
use std::num::NonZeroU64;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::json;
use weir_client::{Admin, MessageRef, ParkedReason, ParkedSelection, PeekOptions};
use weir_types::{ErrorKind, WeirError};

use super::look::Range;
use crate::cli::{Connection, value};
use crate::failure::{Failure, Outcome};
use crate::output::{Done, LetterView, PeekedList, Screen, count};

/// List, show, redrive and discard messages that were set aside
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Parked {
    /// List parked messages and why they are parked, oldest first
    List(List),
    /// Show one parked message in full
    Show(Show),
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
  weir queue parked show tasks 0/17")]
pub(in crate::cli) struct Show {
    /// The queue
    queue: String,
    /// Partition and id, as `list` shows them
    #[arg(value_name = "PARTITION/ID", value_parser = value::message)]
    message: MessageRef,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir queue parked redrive tasks 0/17 2/4
  weir queue parked redrive tasks --reason attempts
  weir queue parked redrive tasks --all --rate 50")]
pub(in crate::cli) struct Redrive {
    #[command(flatten)]
    which: Which,
    /// At most so many messages per second
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU64>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir queue parked discard tasks 0/17
  weir queue parked discard tasks --reason rejected
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
    #[arg(
        value_name = "PARTITION/ID",
        value_parser = value::message,
        required_unless_present_any = ["all", "reason"]
    )]
    messages: Vec<MessageRef>,
    /// All parked messages
    #[arg(long, conflicts_with_all = ["messages", "reason"])]
    all: bool,
    /// All that are parked for this reason
    #[arg(long, conflicts_with = "messages")]
    reason: Option<Reason>,
}

/// Why messages are parked.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reason {
    /// They were delivered as often as the queue allows
    Attempts,
    /// A consumer rejected them
    Rejected,
}

impl Which {
    fn selection(&self) -> ParkedSelection {
        match self.reason {
            Some(Reason::Attempts) => ParkedSelection::Reason(ParkedReason::AttemptsUsedUp),
            Some(Reason::Rejected) => ParkedSelection::Reason(ParkedReason::Rejected),
            None if self.all => ParkedSelection::All,
            None => ParkedSelection::Messages(self.messages.clone()),
        }
    }

    /// How many messages it can be.
    async fn most(&self, admin: &Admin) -> Result<u64, Failure> {
        if !self.messages.is_empty() {
            return Ok(self.messages.len() as u64);
        }
        Ok(admin.queue_stats(&self.queue).await?.iter().map(|stats| stats.parked).sum())
    }
}

impl Show {
    async fn run(self, screen: Screen) -> Outcome {
        let MessageRef { partition, message_id } = self.message;
        let only = PeekOptions { partition: Some(partition), from_message_id: message_id, max_messages: 1 };
        let found = self.connection.admin().await?.list_parked(&self.queue, only).await?;
        if let Some(letter) = found.first().filter(|found| found.message_id == message_id) {
            return screen.show(&LetterView::of(letter));
        }
        let text = format!("message {partition}/{message_id} is not parked");
        let error = WeirError::new(ErrorKind::NotFound, "message-not-parked", text);
        let hint = format!("`weir explain queue {} --message {partition}/{message_id}`", self.queue);
        Err(Failure::from(error).hint(hint))
    }
}

impl Redrive {
    async fn run(self, screen: Screen) -> Outcome {
        let Self { which, rate, connection } = self;
        let admin = connection.admin().await?;
        let redriven = match rate {
            None => admin.redrive(&which.queue, which.selection()).await?,
            Some(rate) => {
                let bar = io::stderr().is_terminal().then_some(ProgressDrawTarget::stderr());
                let bar = ProgressBar::with_draw_target(
                    Some(which.most(&admin).await?),
                    bar.unwrap_or_else(ProgressDrawTarget::hidden),
                );
                let selection = which.selection();
                let progress = |redriven| bar.set_position(redriven);
                let redriven = admin.redrive_at_rate(&which.queue, selection, rate, progress).await;
                bar.finish_and_clear();
                redriven?
            }
        };
        let text = format!("{} of `{}` made ready again", count(redriven, "message"), which.queue);
        screen.show(&Done { text, data: json!({ "redriven": redriven }) })
    }
}

impl Parked {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        match self {
            Self::List(list) => {
                let admin = list.connection.admin().await?;
                screen.show(&PeekedList::of(&admin.list_parked(&list.queue, list.range.into()).await?))
            }
            Self::Show(show) => show.run(screen).await,
            Self::Redrive(redrive) => redrive.run(screen).await,
            Self::Discard(Discard { which, connection }) => {
                let discarded = connection.admin().await?.discard(&which.queue, which.selection()).await?;
                let text = format!("{} of `{}` deleted", count(discarded, "message"), which.queue);
                screen.show(&Done { text, data: json!({ "discarded": discarded }) })
            }
        }
    }
}
