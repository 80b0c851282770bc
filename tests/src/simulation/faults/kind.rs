//! What can go wrong.

use std::fmt;

use super::super::cluster::name;
use super::super::network::Lane;
use crate::Dice;

/// How far the rate of a clock is from right at most, in millionths.
pub(in super::super) const CLOCK_RATE_PPM_MAX: i64 = 200_000;

/// A kind of fault; a run has some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A process is killed.
    Kill,
    /// A node loses its power.
    PowerCut,
    /// All nodes lose their power at once.
    Blackout,
    /// A node is cut off from nodes and clients.
    Isolate,
    /// A node is cut off from the other nodes.
    Split,
    /// What a node sends to another is lost.
    OneWay,
    /// The link of two nodes is cut.
    Link,
    /// Messages of a node take long.
    Delay,
    /// Messages of a node are held, and arrive when that is over.
    Hold,
    /// A node stands still, and goes on.
    Freeze,
    /// Only the control lanes of a node are cut.
    CutControl,
    /// Only the data lanes of a node are cut.
    CutData,
    /// Only the snapshot lanes of a node are cut.
    CutSnapshot,
    /// A wall clock jumps.
    ClockJump,
    /// A monotonic clock is too fast or too slow.
    ClockRate,
    /// A write fails, and the node must stop.
    DiskFails,
    /// A disk takes long for every sync.
    SlowDisk,
    /// A bit flips in the journal while a node is down.
    Rot,
    /// A node comes back with an empty disk.
    Wipe,
    /// A disk claims syncs that it does not do, and then loses its power.
    Lie,
    /// A node comes back with the database of some time ago.
    OldData,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Kill,
        Self::PowerCut,
        Self::Blackout,
        Self::Isolate,
        Self::Split,
        Self::OneWay,
        Self::Link,
        Self::Delay,
        Self::Hold,
        Self::Freeze,
        Self::CutControl,
        Self::CutData,
        Self::CutSnapshot,
        Self::ClockJump,
        Self::ClockRate,
        Self::DiskFails,
        Self::SlowDisk,
        Self::Rot,
        Self::Wipe,
        Self::Lie,
        Self::OldData,
    ];

    /// A fault of this kind.
    pub(super) fn draw(self, dice: &mut Dice, nodes: usize) -> Fault {
        let away = 1 + dice.below(nodes as u64 - 1) as usize;
        let lanes = |lane, dice: &mut Dice| Fault::Lane { lane, away: (dice.below(2) == 0).then_some(away) };
        match self {
            Self::Kill => Fault::Kill,
            Self::PowerCut => Fault::PowerCut,
            Self::Blackout => Fault::Blackout,
            Self::Isolate => Fault::Isolate,
            Self::Split => Fault::Split,
            Self::OneWay => Fault::OneWay { away },
            Self::Link => Fault::Link { away },
            Self::Delay => Fault::Delay { ms: 20 + dice.below(400) },
            Self::Hold => Fault::Hold,
            Self::Freeze => Fault::Freeze,
            Self::CutControl => lanes(Lane::Control, dice),
            Self::CutData => lanes(Lane::Data, dice),
            Self::CutSnapshot => lanes(Lane::Snapshot, dice),
            Self::ClockJump => {
                let by = *dice.pick(&[200, 5_000, 60_000, 3_600_000]);
                Fault::ClockJump { ms: if dice.below(2) == 0 { by } else { -by } }
            }
            Self::ClockRate => {
                let by = *dice.pick(&[5_000, 20_000, 50_000, CLOCK_RATE_PPM_MAX]);
                Fault::ClockRate { ahead_ppm: if dice.below(2) == 0 { by } else { -by } }
            }
            Self::DiskFails => Fault::DiskFails,
            Self::SlowDisk => Fault::SlowDisk { ms: *dice.pick(&[50, 300, 2_000]) },
            Self::Rot => Fault::Rot { batches: 1 + dice.below(20) as usize },
            Self::Wipe => Fault::Wipe,
            Self::Lie => Fault::Lie,
            Self::OldData => Fault::OldData,
        }
    }
}

/// One fault. Other nodes are named by their distance from the one that it happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// See [`Kind::Kill`].
    Kill,
    /// See [`Kind::PowerCut`].
    PowerCut,
    /// See [`Kind::Blackout`].
    Blackout,
    /// See [`Kind::Isolate`].
    Isolate,
    /// See [`Kind::Split`].
    Split,
    /// See [`Kind::OneWay`].
    OneWay {
        /// To whom.
        away: usize,
    },
    /// See [`Kind::Link`].
    Link {
        /// To whom.
        away: usize,
    },
    /// See [`Kind::Delay`].
    Delay {
        /// The longest way.
        ms: u64,
    },
    /// See [`Kind::Hold`].
    Hold,
    /// See [`Kind::Freeze`].
    Freeze,
    /// Connections of one kind are cut.
    Lane {
        /// Which.
        lane: Lane,
        /// To whom; to everybody where none is named.
        away: Option<usize>,
    },
    /// Connections of one kind are cut between all nodes.
    AllLanes {
        /// Which.
        lane: Lane,
    },
    /// No client reaches a node; only scripts do that.
    Mute,
    /// See [`Kind::ClockJump`].
    ClockJump {
        /// How far.
        ms: i64,
    },
    /// See [`Kind::ClockRate`].
    ClockRate {
        /// By how many millionths it is too fast.
        ahead_ppm: i64,
    },
    /// See [`Kind::DiskFails`].
    DiskFails,
    /// See [`Kind::SlowDisk`].
    SlowDisk {
        /// What a sync takes at least.
        ms: u64,
    },
    /// See [`Kind::Rot`].
    Rot {
        /// Synced batches that are lost at most.
        batches: usize,
    },
    /// See [`Kind::Wipe`].
    Wipe,
    /// See [`Kind::Lie`].
    Lie,
    /// See [`Kind::OldData`].
    OldData,
}

impl Fault {
    /// What it is called in counts.
    pub(crate) fn kind_name(self) -> String {
        let name = match self {
            Self::Lane { lane, .. } => format!("Cut{lane:?}"),
            other => format!("{other:?}"),
        };
        name.split(' ').next().unwrap_or_default().to_owned()
    }

    /// Whether it happens to all nodes.
    pub(super) fn is_everywhere(self) -> bool {
        self == Self::Blackout
    }

    /// Whether a node forgets what it acknowledged. No majority survives two of those: it must happen to one node only.
    pub(super) fn forgets(self) -> bool {
        matches!(self, Self::Rot { .. } | Self::Wipe | Self::Lie | Self::OldData)
    }

    /// Whether it touches links, which others may share: the mending of one would undo the other.
    pub(super) fn touches_links(self) -> bool {
        matches!(
            self,
            Self::Isolate
                | Self::Split
                | Self::OneWay { .. }
                | Self::Link { .. }
                | Self::Hold
                | Self::Delay { .. }
        )
    }

    /// Whether it touches lanes.
    pub(super) fn touches_lanes(self) -> bool {
        matches!(self, Self::Lane { .. } | Self::AllLanes { .. })
    }

    /// Whether it makes a wall clock jump.
    pub(super) fn moves_a_wall_clock(self) -> bool {
        matches!(self, Self::ClockJump { .. })
    }

    /// In words, when it happens to `node` of `nodes`.
    pub(super) fn describe(self, node: usize, nodes: usize) -> impl fmt::Display {
        let other = |away: usize| name((node + away) % nodes);
        let node = name(node);
        match self {
            Self::Kill => format!("{node} killed"),
            Self::PowerCut => format!("power cut of {node}"),
            Self::Blackout => "blackout".to_owned(),
            Self::Isolate => format!("{node} isolated"),
            Self::Split => format!("{node} split from the other nodes"),
            Self::OneWay { away } => format!("{node} does not reach {}", other(away)),
            Self::Link { away } => format!("no link between {node} and {}", other(away)),
            Self::Delay { ms } => format!("up to {ms} ms to and from {node}"),
            Self::Hold => format!("messages to and from {node} held"),
            Self::Freeze => format!("{node} stands still"),
            Self::Lane { lane, away: Some(away) } => {
                format!("{lane:?} lanes cut between {node} and {}", other(away))
            }
            Self::Lane { lane, away: None } => format!("{lane:?} lanes of {node} cut"),
            Self::AllLanes { lane } => format!("all {lane:?} lanes cut"),
            Self::Mute => "clients reach no node".to_owned(),
            Self::ClockJump { ms } => format!("wall clock of {node} jumps by {ms} ms"),
            Self::ClockRate { ahead_ppm } => format!("clock of {node} is too fast by {ahead_ppm} millionths"),
            Self::DiskFails => format!("disk of {node} fails"),
            Self::SlowDisk { ms } => format!("disk of {node} takes {ms} ms to sync"),
            Self::Rot { batches } => {
                format!("{node} down, its journal damaged {batches} batches from its end")
            }
            Self::Wipe => format!("{node} down, its disk wiped"),
            Self::Lie => format!("disk of {node} lies"),
            Self::OldData => format!("database of {node} is to be put back later to what it is now"),
        }
    }
}
