//! The tiers of the matrix: which workloads meet which faults, and for how long.

use clap::ValueEnum;

use crate::nemesis::Kind;
use crate::nemesis::Kind::{
    BitRot, ClientCut, Clock, ClockStrobe, Cpu, DiskFull, Eio, FdExhaustion, Garbage, HungFsync, Kill,
    KillAll, LyingFsync, Membership, Memory, Moves, NetChaos, OldData, OneWay, Partition, Pause, PowerCut,
    PowerCutAll, Reset, RollingRestart, SingleLink, SlowFsync, Snapshot, Splits, TornWrite, Transfer, Wipe,
};
use crate::workload::Workload;
use crate::workload::Workload::{
    AckAppend, Delay, Elastic, Fifo, Forward, Group, Mixed, Operator, Priority, Queue, Register, Stream, Ttl,
};

/// A set of configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tier {
    /// For every change: 13 × 60 s
    Pr,
    /// For every night: 48 × 120 s, all kinds of faults
    Nightly,
    /// For a release: as nightly, 600 s each
    Release,
}

/// One run of a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// What clients do.
    pub workload: Workload,
    /// The faults.
    pub nemesis: Vec<Kind>,
    /// Warm-up and faults together.
    pub seconds: u64,
}

const PR: [(Workload, &[Kind]); 13] = [
    (Queue, &[Kill]),
    (Queue, &[Partition]),
    (Queue, &[Pause, OneWay]),
    (Queue, &[PowerCut]),
    (Stream, &[Kill, Pause]),
    (Stream, &[Partition, NetChaos]),
    (Stream, &[PowerCutAll]),
    (Group, &[Kill]),
    (Group, &[Partition]),
    (Register, &[Kill, Partition]),
    (Mixed, &[Clock, SlowFsync]),
    (Mixed, &[KillAll]),
    (AckAppend, &[Kill, Partition]),
];

const NIGHTLY: [(Workload, &[Kind]); 48] = [
    (Queue, &[Kill, Pause]),
    (Queue, &[Partition, Kill]),
    (Queue, &[OneWay, SingleLink]),
    (Queue, &[NetChaos, Reset]),
    (Queue, &[ClientCut, Pause]),
    (Queue, &[PowerCut, Pause]),
    (Queue, &[PowerCutAll]),
    (Queue, &[Clock, ClockStrobe]),
    (Queue, &[Eio, TornWrite]),
    (Queue, &[DiskFull, Transfer]),
    (Queue, &[SlowFsync, HungFsync]),
    (Queue, &[LyingFsync]),
    (Queue, &[BitRot, Kill]),
    (Queue, &[Wipe, OldData]),
    (Stream, &[Kill, Partition]),
    (Stream, &[PowerCut, PowerCutAll]),
    (Stream, &[BitRot]),
    (Stream, &[LyingFsync, Pause]),
    (Stream, &[Snapshot]),
    (Stream, &[RollingRestart, Transfer]),
    (Stream, &[Eio, DiskFull]),
    (Stream, &[Cpu, Memory]),
    (Group, &[Kill, Pause]),
    (Group, &[Partition, ClientCut]),
    (Group, &[PowerCut, Clock]),
    (Register, &[Partition, Kill]),
    (Register, &[OneWay, Pause]),
    (Mixed, &[Membership, Kill]),
    (Mixed, &[Moves, Kill]),
    (Mixed, &[Moves, Partition]),
    (Fifo, &[Moves, Pause]),
    (Mixed, &[FdExhaustion, Garbage]),
    (Mixed, &[KillAll, NetChaos]),
    (AckAppend, &[Kill, Pause]),
    (AckAppend, &[Partition, NetChaos]),
    (AckAppend, &[PowerCutAll, Transfer]),
    (AckAppend, &[Snapshot, Kill]),
    (Operator, &[Kill, Pause]),
    (Operator, &[Partition, PowerCut]),
    (Forward, &[Kill, Partition]),
    (Forward, &[PowerCutAll, Pause]),
    (Fifo, &[Kill, Partition]),
    (Delay, &[Kill, Pause]),
    (Priority, &[Partition, Kill]),
    (Ttl, &[PowerCut, Pause]),
    (Elastic, &[Splits, Kill]),
    (Elastic, &[Splits, Partition]),
    (Elastic, &[Splits, Moves]),
];

impl Tier {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pr => "pr",
            Self::Nightly => "nightly",
            Self::Release => "release",
        }
    }

    /// Its runs, in order.
    pub fn configurations(self) -> Vec<Configuration> {
        let (table, seconds): (&[(Workload, &[Kind])], u64) = match self {
            Self::Pr => (&PR, 60),
            Self::Nightly => (&NIGHTLY, 120),
            Self::Release => (&NIGHTLY, 600),
        };
        let each = table.iter();
        each.map(|(workload, nemesis)| Configuration {
            workload: *workload,
            nemesis: nemesis.to_vec(),
            seconds,
        })
        .collect()
    }
}

impl Configuration {
    /// Workload and faults.
    pub fn name(&self) -> String {
        let kinds: Vec<_> = self.nemesis.iter().map(|kind| kind.name()).collect();
        format!("{} {}", self.workload.name(), kinds.join("+"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fault_comes_in_a_night() {
        let configurations = Tier::Nightly.configurations();
        for kind in Kind::ALL {
            assert!(configurations.iter().any(|c| c.nemesis.contains(kind)), "{kind} never comes");
        }
        for workload in Workload::ALL {
            assert!(configurations.iter().any(|c| c.workload == workload), "{workload:?} never comes");
        }
    }

    #[test]
    fn partitions_are_split_only_where_clients_find_their_keys_again() {
        for Configuration { workload, nemesis, .. } in Tier::Nightly.configurations() {
            assert!(workload.follows_keys() || !nemesis.contains(&Splits), "{workload:?}");
        }
    }
}
