//! `weir group`: list, describe, reset.

use clap::{Args, Subcommand};

use super::Connection;
use super::value::Place;
use crate::failure::Outcome;
use crate::output::{GroupList, GroupView, PositionList, Screen};

/// Show and reset consumer groups
#[derive(Debug, Subcommand)]
pub(super) enum Group {
    /// List all consumer groups
    List(List),
    /// Show members, positions and lag of one group
    Describe(Describe),
    /// Move the committed positions of a group that has no members
    Reset(Reset),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir group list")]
pub(super) struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir group describe billing")]
pub(super) struct Describe {
    group: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir group reset billing --topic events --to earliest
  weir group reset billing --topic events --to 2026-01-31T12:00:00Z
  weir group reset billing --topic events --to -1h
  weir group reset billing --topic events --to lag:100")]
pub(super) struct Reset {
    group: String,
    /// The stream
    #[arg(long)]
    topic: String,
    /// Where to; -1h is an hour ago, lag:100 leaves 100 records of each partition to read
    #[arg(long, value_name = Place::SYNTAX, allow_hyphen_values = true)]
    to: Place,
    #[command(flatten)]
    connection: Connection,
}

impl Group {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        match self {
            Self::List(list) => {
                let groups = list.connection.admin().await?.list_groups().await?;
                screen.show(&GroupList::of(&groups))
            }
            Self::Describe(describe) => {
                let group = describe.connection.admin().await?.describe_group(&describe.group).await?;
                screen.show(&GroupView::of(&group))
            }
            Self::Reset(reset) => {
                let to = reset.to.into();
                let admin = reset.connection.admin().await?;
                let positions = admin.reset_group(&reset.group, &reset.topic, to).await?;
                screen.show(&PositionList::of(&positions))
            }
        }
    }
}
