//! The kinds of faults, as they are named on the command line.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a fault damages for good: whether data that was synced may be gone afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Nothing that was synced is lost: any node may suffer, all of them too.
    Passing,
    /// Synced data of the node may be lost. Only the run's fragile minority may suffer, the same nodes in every step.
    Lasting,
}

/// A kind, its name, for how long one usually lasts in milliseconds, its harm, and what it does.
macro_rules! kinds {
    ($($kind:ident $name:literal $from:literal..=$to:literal $harm:ident $about:literal;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = $about] $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// As on the command line and in histories.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// What it does, in a sentence.
            pub fn about(self) -> &'static str {
                match self { $(Self::$kind => $about,)* }
            }

            /// For how long one usually lasts: a schedule draws from this.
            pub fn lasts(self) -> RangeInclusive<Duration> {
                match self {
                    $(Self::$kind => Duration::from_millis($from)..=Duration::from_millis($to),)*
                }
            }

            /// Whether synced data may be gone afterwards.
            pub fn harm(self) -> Harm {
                match self { $(Self::$kind => Harm::$harm,)* }
            }
        }
    };
}

kinds! {
    Kill "kill" 500..=12_000 Passing "SIGKILL, and a start when it is over";
    KillAll "kill-all" 500..=4_000 Passing "SIGKILL of every node at once, and a start of all";
    Pause "pause" 1_000..=12_000 Passing "SIGSTOP, and SIGCONT when it is over";
    Partition "partition" 3_000..=20_000 Passing "nodes in two halves, a ring of majorities, halves with a bridge, or one alone";
    OneWay "one-way" 3_000..=20_000 Passing "nothing that a node sends reaches the others, or nothing that the others send reaches it";
    SingleLink "single-link" 3_000..=20_000 Passing "one link between two nodes is cut, in both directions";
    NetChaos "net-chaos" 3_000..=20_000 Passing "links lose, delay, duplicate, reorder or throttle packets";
    Reset "reset" 1_000..=5_000 Passing "every TCP connection of a node is reset, and new ones are refused";
    ClientCut "client-cut" 3_000..=15_000 Passing "clients and a node do not reach each other; nodes do";
    Cpu "cpu" 5_000..=20_000 Passing "a node gets a small share of one core";
    Memory "memory" 5_000..=15_000 Passing "a node gets hardly more memory than it uses now, and may be killed for it";
    Clock "clock" 3_000..=20_000 Passing "a node's wall clock jumps by up to an hour, and back";
    ClockStrobe "clock-strobe" 3_000..=15_000 Passing "a node's wall clock jumps to and fro every 200 ms";
    DiskFull "disk-full" 5_000..=15_000 Passing "a node's disk has no space left";
    Eio "eio" 500..=8_000 Passing "writes or syncs of a node's files fail with EIO";
    SlowFsync "slow-fsync" 5_000..=20_000 Passing "every sync of a node takes 50 ms to 2 s longer";
    HungFsync "hung-fsync" 3_000..=15_000 Passing "no sync of a node returns until it is over";
    LyingFsync "lying-fsync" 3_000..=15_000 Lasting "syncs of a node's database return at once and sync nothing; then its power is cut";
    PowerCut "power-cut" 500..=10_000 Passing "a node loses everything that was not synced, and starts when it is over";
    PowerCutAll "power-cut-all" 500..=3_000 Passing "all nodes at once lose everything that was not synced";
    TornWrite "torn-write" 500..=5_000 Passing "a write is cut in the middle and the node dies of it";
    BitRot "bit-rot" 500..=3_000 Lasting "bits flip, or the end is missing, in a file of a node that is down";
    Wipe "wipe" 500..=5_000 Lasting "a node's data are gone, and it starts blank";
    OldData "old-data" 500..=5_000 Lasting "an older copy of its data is put in a node's place";
    Transfer "transfer" 5_000..=20_000 Passing "leaderships are handed over all the time";
    Membership "membership" 10_000..=30_000 Passing "a blank node joins the cluster, and leaves it for a while";
    Moves "moves" 15_000..=40_000 Passing "replicas move to a node that joined, and by a drain off it again, over and over";
    Splits "splits" 15_000..=40_000 Passing "partitions are split and merged, and topics scaled up and down, over and over";
    Snapshot "snapshot" 20_000..=45_000 Passing "a node is down for so long that it needs a snapshot";
    RollingRestart "rolling-restart" 10_000..=60_000 Passing "every node in turn stops in good order and starts again, with the other build if there is one";
    FdExhaustion "fd-exhaustion" 3_000..=15_000 Passing "a node may open no more files and sockets";
    Garbage "garbage" 2_000..=10_000 Passing "malformed bytes to every port of a node";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no kind of fault has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of fault")]
pub struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let found = Self::ALL.iter().find(|kind| kind.name() == text);
        found.copied().ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
