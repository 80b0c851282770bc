//! `weir cluster`.

use clap::{Args, Subcommand};

use super::Connection;
use crate::failure::Outcome;
use crate::output::{Screen, StatusView};

/// Show the state of the cluster
#[derive(Debug, Subcommand)]
pub(super) enum Cluster {
    /// Nodes, leaders, partitions and lag
    Status(Status),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir cluster status
  weir cluster status --seeds 10.0.0.11:7400,10.0.0.12:7400 --json")]
pub(super) struct Status {
    #[command(flatten)]
    connection: Connection,
}

impl Cluster {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let Self::Status(status) = self;
        let status = status.connection.admin().await?.cluster_status().await?;
        screen.show(&StatusView::of(&status))
    }
}
