//! Links between topics: what goes from one to another by itself, exactly once.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use weir_types::{GroupId, Offset, TopicId, TopicKind, WallClock};

/// What goes over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LinkKind {
    /// Every message of a queue that can be leased: it leaves the queue.
    Forward,
    /// Every message that the queue parks: it leaves the queue.
    DeadLetter,
    /// Every record of a stream, from some offset on: it stays there.
    Subscription,
}

impl LinkKind {
    /// What it comes from.
    pub fn source(self) -> TopicKind {
        match self {
            Self::Forward | Self::DeadLetter => TopicKind::Queue,
            Self::Subscription => TopicKind::Stream,
        }
    }

    /// What it may go to; none for either kind.
    pub fn destination(self) -> Option<TopicKind> {
        match self {
            Self::Forward | Self::DeadLetter => None,
            Self::Subscription => Some(TopicKind::Queue),
        }
    }

    /// Whether a topic has at most one of them: a message that leaves goes to one place.
    pub fn is_single(self) -> bool {
        self != Self::Subscription
    }
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::DeadLetter => "dead-letter",
            Self::Subscription => "subscription",
        })
    }
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The registry's version that brought it: no link ever has that of another. It is the channel under which a
    /// subscription's transfers are known, above that of every outbox, which is 0.
    pub id: u32,
    /// What goes over it.
    pub kind: LinkKind,
    /// Where it comes from.
    pub from: TopicId,
    /// Where it goes to.
    pub to: TopicId,
    /// When it was made.
    pub created: WallClock,
    /// Of a subscription: the first record of each partition of the stream that goes over it; of one that is not named, the
    /// first that there is.
    pub starts: BTreeMap<GroupId, Offset>,
}
