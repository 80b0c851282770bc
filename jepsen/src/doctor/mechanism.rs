//! Means of the host by which faults are made.

use std::fmt;

use serde::Serialize;

use crate::nemesis::Kind;

/// A means of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// Signals to processes.
    Signals,
    /// Network namespaces with the link emulator between them.
    Network,
    /// File systems in files, whose power can be cut.
    Disk,
    /// The library between a process and the C library.
    Interposer,
    /// A control group for the processor.
    CpuGroup,
    /// A control group for memory.
    MemoryGroup,
    /// Limits of a running process.
    FileLimits,
}

impl Mechanism {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Signals,
        Self::Network,
        Self::Disk,
        Self::Interposer,
        Self::CpuGroup,
        Self::MemoryGroup,
        Self::FileLimits,
    ];
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signals => "signals",
            Self::Network => "network namespaces",
            Self::Disk => "disks in files",
            Self::Interposer => "the interposer",
            Self::CpuGroup => "a control group for the processor",
            Self::MemoryGroup => "a control group for memory",
            Self::FileLimits => "limits of a process",
        })
    }
}

/// What a kind is made with.
pub(super) fn needed_by(kind: Kind) -> &'static [Mechanism] {
    match kind {
        Kind::Kill
        | Kind::KillAll
        | Kind::Pause
        | Kind::BitRot
        | Kind::Wipe
        | Kind::OldData
        | Kind::Transfer
        | Kind::Membership
        | Kind::Moves
        | Kind::Splits
        | Kind::Snapshot
        | Kind::RollingRestart
        | Kind::Garbage => &[Mechanism::Signals],
        Kind::Partition
        | Kind::OneWay
        | Kind::SingleLink
        | Kind::NetChaos
        | Kind::Reset
        | Kind::ClientCut => &[Mechanism::Network],
        Kind::Cpu => &[Mechanism::CpuGroup],
        Kind::Memory => &[Mechanism::MemoryGroup],
        Kind::FdExhaustion => &[Mechanism::FileLimits],
        Kind::DiskFull | Kind::PowerCut | Kind::PowerCutAll => &[Mechanism::Disk],
        Kind::Clock | Kind::ClockStrobe | Kind::Eio | Kind::SlowFsync | Kind::HungFsync | Kind::TornWrite => {
            &[Mechanism::Interposer]
        }
        Kind::LyingFsync => &[Mechanism::Interposer, Mechanism::Disk],
    }
}
