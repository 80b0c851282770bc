//! Positions: of a record in a stream partition, of an entry in a Raft log, of a batch between partitions, and the leader's
//! term.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

macro_rules! position {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl $name {
            /// The position that follows this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl Add<u64> for $name {
            type Output = Self;
            fn add(self, count: u64) -> Self {
                Self(self.0 + count)
            }
        }

        impl Sub for $name {
            type Output = u64;
            fn sub(self, earlier: Self) -> u64 {
                self.0 - earlier.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

position!(
    /// The place of a record in a stream partition: dense, from 0; control entries use none.
    Offset
);
position!(
    /// The place of an entry in a Raft group's log.
    LogIndex
);
position!(
    /// A leader's term; also the leader epoch that a record batch carries.
    Term
);
position!(
    /// The number of a batch among those of one source for one destination ([`TransferSource`](crate::TransferSource)):
    /// dense from an outbox, from 1; 0 stands before the first.
    TransferSequence
);
