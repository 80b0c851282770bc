//! `weir cluster`: its state, who leads in it, and what its replicas hold; what changes its nodes: `nodes.rs`;
//! backups: `backup.rs`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Connection, backup, features, nodes};
use crate::failure::{Failure, Outcome};
use crate::output::{DigestView, Done, Screen, StatusView};

/// Show the state of the cluster, move leaders and replicas, drain and remove nodes, back it up
#[derive(Debug, Subcommand)]
pub(super) enum Cluster {
    /// Nodes, leaders, partitions and lag
    Status(Status),
    /// Hand the leadership of a partition to another of its voters
    Transfer(Transfer),
    /// What every replica holds, as a hash to compare
    Digest(Digest),
    /// Spread the replicas evenly over the nodes
    Balance(nodes::Balance),
    /// Move a replica of a partition to another node
    Move(nodes::Move),
    /// List the replicas that are on the move
    Moves(nodes::ListMoves),
    /// Empty a node: leaderships first, then replicas
    Drain(nodes::Drain),
    /// Take a node out of the cluster for good
    Remove(nodes::Remove),
    /// Let another node take over from one that is gone for good
    Replace(nodes::Replace),
    /// Show the feature level of the cluster and what its nodes know, or raise it
    Features(features::Features),
    /// Copy all that the cluster holds into a folder, or check such a copy
    Backup(backup::Backup),
    /// Bring a backup into a new cluster
    Restore(backup::Restore),
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

#[derive(Debug, Args)]
#[command(after_help = "\
The leader returns to its preferred node 5 s after the last change of leaders there.

Examples:
  weir cluster transfer tasks 0 --to n2")]
pub(super) struct Transfer {
    topic: String,
    partition: u32,
    /// Name or id of the node that is to lead
    #[arg(long, value_name = "NODE")]
    to: String,
    #[command(flatten)]
    connection: Connection,
}

impl Transfer {
    async fn run(self, screen: Screen) -> Outcome {
        let admin = self.connection.admin().await?;
        let status = admin.cluster_status().await?;
        let named =
            status.nodes.iter().find(|node| node.name == self.to || node.node_id.to_string() == self.to);
        let Some(node) = named else {
            return Err(Failure::usage(format!("no node of the cluster is called `{}`", self.to)));
        };
        admin.transfer_leadership(&self.topic, self.partition, node.node_id).await?;
        let text = format!("{} leads partition {} of `{}`", node.name, self.partition, self.topic);
        let data = json!({ "topic": self.topic, "partition": self.partition, "leader": node.node_id });
        screen.show(&Done { text, data })
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Replicas of a partition with the same applied index have the same hash, or one of them is damaged. Every row of every
replica is read for it.

Examples:
  weir cluster digest
  weir cluster digest --topic orders --json")]
pub(super) struct Digest {
    #[command(flatten)]
    connection: Connection,
    /// Only of this topic
    #[arg(long)]
    topic: Option<String>,
}

impl Cluster {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        match self {
            Self::Status(status) => {
                let status = status.connection.admin().await?.cluster_status().await?;
                screen.show(&StatusView::of(&status))
            }
            Self::Transfer(transfer) => transfer.run(screen).await,
            Self::Balance(balance) => balance.run(screen).await,
            Self::Move(asked) => asked.run(screen).await,
            Self::Moves(list) => list.run(screen).await,
            Self::Drain(drain) => drain.run(screen).await,
            Self::Remove(remove) => remove.run(screen).await,
            Self::Replace(replace) => replace.run(screen).await,
            Self::Features(features) => features.run(screen).await,
            Self::Backup(backup) => backup.run(screen).await,
            Self::Restore(restore) => restore.run(screen).await,
            Self::Digest(digest) => {
                let admin = digest.connection.admin().await?;
                screen.show(&DigestView::of(&admin.digests(digest.topic.as_deref()).await?))
            }
        }
    }
}
