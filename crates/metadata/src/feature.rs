//! What a cluster may write: levels that rise with the builds, and what each of them lets in.
//!
//! ```text
//!  founded at a level ──► RaiseLevel, once every member's build knows the next one ──► … (never back)
//! ```
//!
//! | level | lets nodes write or say what builds before it cannot read |
//! |---:|---|
//! | 1 | nothing: what builds wrote before there were levels |
//! | 2 | recovery and replacement of nodes, changed numbers of replicas, tenants of queues, quiet groups, relocation, restoring; nodes that join say what they know |
//! | 3 | partitions that are split and merged, and what these write and say of that |
//!
//! Whoever proposes something of a later level asks [`Registry::allows`](crate::Registry::allows) first. No machine does
//! inside `apply`: a command is in the log because its level was reached when it was proposed.

use std::fmt;

use serde::{Deserialize, Serialize};
use weir_types::Corrupt;

/// A feature level. It includes all that are lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Level(pub u32);

impl Level {
    /// What builds know that know nothing of levels, and where the clusters are that they founded.
    pub const FIRST: Self = Self(1);
    /// The highest that this build knows.
    pub const KNOWN: Self = Self(3);

    /// Fails when the cluster may hold what this build cannot read: the replica stops here, before it comes to that.
    pub(crate) fn check_known(self) -> Result<(), Corrupt> {
        if self <= Self::KNOWN {
            return Ok(());
        }
        Err(Corrupt(format!(
            "the cluster is at feature level {self}, this build knows up to {}: run a newer one",
            Self::KNOWN
        )))
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that builds of a lower level cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// [`Command::RecoverNode`](crate::Command::RecoverNode).
    Recovery,
    /// [`Command::ReplaceNode`](crate::Command::ReplaceNode).
    Replacement,
    /// [`Command::SetReplicas`](crate::Command::SetReplicas).
    ReplicaCounts,
    /// [`PolicyChange::FairBy`](crate::PolicyChange::FairBy), and what queues write of tenants then.
    Tenants,
    /// [`Command::JoinNode`](crate::Command::JoinNode).
    Joining,
    /// Messages between nodes in place of the heartbeats of groups where nothing happens.
    QuietGroups,
    /// Bodies of a queue's sparse log are written anew.
    Relocation,
    /// [`Command::BeginRestore`](crate::Command::BeginRestore), and what the restored partitions write then.
    Restore,
    /// [`Command::Reshape`](crate::Command::Reshape), and what the partitions write and say of it then;
    /// [`Command::BeginRestoreOf`](crate::Command::BeginRestoreOf).
    Reshaping,
}

impl Feature {
    /// The level that a cluster needs to use it.
    pub fn level(self) -> Level {
        match self {
            Self::Recovery
            | Self::Replacement
            | Self::ReplicaCounts
            | Self::Tenants
            | Self::Joining
            | Self::QuietGroups
            | Self::Relocation
            | Self::Restore => Level(2),
            Self::Reshaping => Level(3),
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recovery => "placing what a lost node held on others",
            Self::Replacement => "replacing a node",
            Self::ReplicaCounts => "changing the number of replicas",
            Self::Tenants => "fairness between tenants (`fair_by`)",
            Self::Joining => "joining with a level",
            Self::QuietGroups => "letting idle groups fall quiet",
            Self::Relocation => "writing what is left of a queue's log anew",
            Self::Restore => "restoring a backup",
            Self::Reshaping => "splitting and merging partitions",
        })
    }
}
