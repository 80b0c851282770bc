//! `weir cluster balance|move|moves|drain|remove|replace`: a cluster that grows and shrinks while it runs.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use weir_client::{Admin, MoveInfo, MovePhase, MoveReason, NodeInfo};

use super::Connection;
use super::confirm::confirm;
use super::moving::{Sizes, Watch, away_from};
use crate::failure::{Failure, Outcome};
use crate::output::{Done, MoveList, Screen};

/// Most moves that a cluster takes in one request.
const MOVES_PER_REQUEST: usize = 10_000;

/// Spread the replicas evenly over the nodes
#[derive(Debug, Args)]
#[command(after_help = "\
Moves as few replicas as it can, and waits until they are where they shall be. It may be interrupted at any time: what is
planned goes on by itself, and `weir cluster moves` shows it.

Examples:
  weir cluster balance --dry-run
  weir cluster balance
  weir cluster balance --cancel")]
pub(super) struct Balance {
    /// Only show the moves
    #[arg(long, conflicts_with = "cancel")]
    dry_run: bool,
    /// Take back all moves that a balance or a single `move` asked for and whose new replica has no vote yet
    #[arg(long)]
    cancel: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Balance {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let admin = self.connection.admin().await?;
        if self.cancel {
            return cancel(&admin, screen).await;
        }
        let status = admin.cluster_status().await?;
        let sizes = Sizes::of(&status);
        let mut plan = admin.plan_balance().await?;
        let count = plan.len();
        let list = |none| MoveList::of(&plan, &status, none);
        if self.dry_run {
            return screen.show(&list("the cluster is balanced: nothing would move"));
        }
        if !screen.is_json() {
            screen.show(&list("the cluster is balanced: nothing moves"))?;
        }
        while !plan.is_empty() {
            // One move of each partition at a time.
            let mut seen = BTreeSet::new();
            let (now, later): (Vec<_>, Vec<_>) =
                plan.into_iter().partition(|step| seen.insert(step.group_id));
            admin.move_replicas(&now).await?;
            Watch::new(&admin, screen, &now, sizes.clone()).until_moved(&now).await?;
            plan = later;
        }
        screen.show(&Done { text: format!("{count} replicas moved"), data: json!({ "moved": count }) })
    }
}

async fn cancel(admin: &Admin, screen: Screen) -> Outcome {
    let under_way = admin.moves(0, Duration::ZERO).await?.moves;
    let asked = under_way.iter().filter(|moving| moving.reason == Some(MoveReason::Asked));
    let groups: Vec<u32> = asked.map(|moving| moving.group_id).collect();
    let mut cancelled = 0;
    for groups in groups.chunks(MOVES_PER_REQUEST) {
        cancelled += admin.cancel_moves(groups).await?.len();
    }
    let going_on = groups.len() - cancelled;
    let text = format!("{cancelled} moves taken back, {going_on} go on");
    screen.show(&Done { text, data: json!({ "cancelled": cancelled, "going_on": going_on }) })
}

/// Move a replica of a partition to another node
#[derive(Debug, Args)]
#[command(after_help = "\
The new replica catches up before it votes, and only then the old one goes: the partition never has fewer replicas.

Examples:
  weir cluster move orders 0 --from n1 --to n4")]
pub(super) struct Move {
    topic: String,
    partition: u32,
    /// Name or id of the node that has the replica
    #[arg(long, value_name = "NODE")]
    from: String,
    /// Name or id of the node that is to have it
    #[arg(long, value_name = "NODE")]
    to: String,
    #[command(flatten)]
    connection: Connection,
}

impl Move {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let Self { topic, partition, .. } = &self;
        let admin = self.connection.admin().await?;
        let status = admin.cluster_status().await?;
        let (from, to) = (named(&status.nodes, &self.from)?, named(&status.nodes, &self.to)?);
        let partitions = admin.describe_topic(topic).await?.partitions;
        let Some(found) = partitions.iter().find(|known| known.partition == *partition) else {
            let message =
                format!("topic `{topic}` has {} partitions, none is number {partition}", partitions.len());
            return Err(Failure::usage(message));
        };
        let asked = MoveInfo {
            group_id: found.group_id,
            topic: topic.clone(),
            partition: *partition,
            from: from.node_id,
            to: to.node_id,
            phase: MovePhase::Planned,
            reason: None,
        };
        let asked = std::slice::from_ref(&asked);
        admin.move_replicas(asked).await?;
        Watch::new(&admin, screen, asked, Sizes::of(&status)).until_moved(asked).await?;
        let text = format!("{} has the replica of partition {partition} of `{topic}` now", to.name);
        let data = json!({ "topic": topic, "partition": partition, "from": from.node_id, "to": to.node_id });
        screen.show(&Done { text, data })
    }
}

/// List the replicas that are on the move
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir cluster moves
  weir cluster moves --json")]
pub(super) struct ListMoves {
    #[command(flatten)]
    connection: Connection,
}

impl ListMoves {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let admin = self.connection.admin().await?;
        let status = admin.cluster_status().await?;
        let moves = admin.moves(0, Duration::ZERO).await?.moves;
        screen.show(&MoveList::of(&moves, &status, "no replica is on the move"))
    }
}

/// Empty a node: leaderships first, then replicas
#[derive(Debug, Args)]
#[command(after_help = "\
Every replica on the node is copied to another one before it goes, so no partition ever has fewer. Refused when the other
nodes could not hold them. It may be interrupted at any time: the drain goes on by itself. A drained node stays a member
on which nothing is placed, until it is removed or put back into use.

Standard error shows how far it is, with --json as objects, and how long the rest may take: by the bytes that are left, as
fast as those that went since the command began. Replicas count when they have been copied whole, with the bytes that
their partitions had at the beginning.

Examples:
  weir cluster drain n1
  weir cluster drain n1 --json
  weir cluster drain n1 --cancel")]
pub(super) struct Drain {
    /// Name or id of the node
    node: String,
    /// Put the node back into use; what has not left it yet stays
    #[arg(long)]
    cancel: bool,
    /// Do not wait until it is empty
    #[arg(long, conflicts_with = "cancel")]
    no_wait: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Drain {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let admin = self.connection.admin().await?;
        let status = admin.cluster_status().await?;
        let node = named(&status.nodes, &self.node)?;
        if self.cancel {
            let (cancelled, going_on) = admin.cancel_drain(node.node_id).await?;
            let name = &node.name;
            let text = format!("{name} is in use again: {cancelled} moves taken back, {going_on} go on");
            let data = json!({ "node": node.node_id, "cancelled": cancelled, "going_on": going_on });
            return screen.show(&Done { text, data });
        }
        admin.drain_node(node.node_id).await?;
        if self.no_wait {
            let text = format!("{} is being drained", node.name);
            return screen.show(&Done { text, data: json!({ "node": node.node_id, "drained": false }) });
        }
        let first = admin.moves(0, Duration::ZERO).await?;
        let leaving: Vec<MoveInfo> = away_from(node.node_id, &first).cloned().collect();
        Watch::new(&admin, screen, &leaving, Sizes::of(&status)).until_drained(node).await?;
        let text = format!("{} is drained: `weir cluster remove {}` takes it out", node.name, node.name);
        screen.show(&Done { text, data: json!({ "node": node.node_id, "drained": true }) })
    }
}

/// Take a node out of the cluster for good
#[derive(Debug, Args)]
#[command(after_help = "\
The node must hold no replicas: drain it first. With --force it may hold replicas, but must be gone: they are then
copied from the others, and the node leaves the cluster when they have been. Stop its process afterwards; its data are
of no use to the cluster any more, and its id is never given again.

Examples:
  weir cluster remove n1
  weir cluster remove n1 --force --yes")]
pub(super) struct Remove {
    /// Name or id of the node
    node: String,
    /// The node is gone for good
    #[arg(long)]
    force: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Remove {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let admin = self.connection.admin().await?;
        let status = admin.cluster_status().await?;
        let node = named(&status.nodes, &self.node)?;
        if self.force && !self.yes {
            confirm("remove", &node.name)?;
        }
        admin.remove_node(node.node_id, self.force).await?;
        wait_left(&admin, screen, node.node_id, Sizes::of(&status)).await?;
        let text = format!("{} is no member of the cluster any more", node.name);
        screen.show(&Done { text, data: json!({ "node": node.node_id, "removed": true }) })
    }
}

/// Let another node take over from one that is gone for good
#[derive(Debug, Args)]
#[command(after_help = "\
All replicas of the node are built on the other one from what the rest of the cluster has, at once and whatever
`cluster.recover_after_s` is; then the node leaves the cluster. The other one may hold replicas already, but none of the
same partitions: all of it is planned or nothing. A node that is heard has to be drained first. It may be interrupted at any
time: it goes on by itself, and `weir cluster moves` shows it.

Examples:
  weir cluster replace n1 --with n4
  weir cluster replace n1 --with n4 --no-wait")]
pub(super) struct Replace {
    /// Name or id of the node that is gone
    node: String,
    /// Name or id of the node that takes over
    #[arg(long, value_name = "NODE")]
    with: String,
    /// Do not wait until it has
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Replace {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let admin = self.connection.admin().await?;
        let status = admin.cluster_status().await?;
        let (node, with) = (named(&status.nodes, &self.node)?, named(&status.nodes, &self.with)?);
        admin.replace_node(node.node_id, with.node_id).await?;
        let data = |replaced| json!({ "node": node.node_id, "with": with.node_id, "replaced": replaced });
        if self.no_wait {
            let text = format!("{} takes over from {}", with.name, node.name);
            return screen.show(&Done { text, data: data(false) });
        }
        wait_left(&admin, screen, node.node_id, Sizes::of(&status)).await?;
        let text = format!("{} has taken over from {}, which is no member any more", with.name, node.name);
        screen.show(&Done { text, data: data(true) })
    }
}

/// Waits until a node that is leaving holds nothing any more, and is no member.
async fn wait_left(admin: &Admin, screen: Screen, node: u64, sizes: Sizes) -> Outcome {
    let first = admin.moves(0, Duration::ZERO).await?;
    let leaving: Vec<MoveInfo> = away_from(node, &first).cloned().collect();
    Watch::new(admin, screen, &leaving, sizes).until_left(node).await
}

/// The node that somebody means.
fn named<'a>(nodes: &'a [NodeInfo], wanted: &str) -> Result<&'a NodeInfo, Failure> {
    let found = nodes.iter().find(|node| node.name == wanted || node.node_id.to_string() == wanted);
    found.ok_or_else(|| Failure::usage(format!("no node of the cluster is called `{wanted}`")))
}
