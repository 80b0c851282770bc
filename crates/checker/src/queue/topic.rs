//! What a history says of one queue as a whole.

use std::collections::BTreeMap;

use super::life::{Grant, Seen, Sent};
use crate::{Consumer, Digested, MessageId, MessageState, Micros, Value};

/// A partition's last known state: the replica that had applied most.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) seen: Seen,
    applied: u64,
    messages: BTreeMap<u64, MessageState>,
}

/// Events of one queue that are about more than one message.
#[derive(Clone, Debug, Default)]
pub(super) struct Topic {
    /// Sends that came back without an id.
    pub(super) unplaced: BTreeMap<Value, Sent>,
    /// Ends of sessions that did not fail.
    pub(super) closes: BTreeMap<Consumer, Vec<Seen>>,
    /// Purges; one that failed may have gone a part of its way.
    pub(super) purges: Vec<Seen>,
    /// Receives that may have leased messages without anybody hearing of it, in the order of their beginnings.
    pub(super) unheard: Vec<Seen>,
    /// The last state of each partition.
    ends: BTreeMap<u32, End>,
}

impl Topic {
    /// Takes note of a replica's state, if it is further than what is known.
    pub(super) fn digest(&mut self, seen: Seen, digested: &Digested) {
        let known = self.ends.get(&digested.partition);
        if known.is_none_or(|end| (end.applied, end.seen.from) <= (digested.applied, seen.from)) {
            let messages = digested.messages.iter().copied().collect();
            self.ends.insert(digested.partition, End { seen, applied: digested.applied, messages });
        }
    }

    /// The last state of a partition.
    pub(super) fn end(&self, partition: u32) -> Option<&End> {
        self.ends.get(&partition)
    }

    /// Whether leases may have been granted that nobody heard of, up to this moment. Their attempts count.
    pub(super) fn unheard_by(&self, at: Micros) -> bool {
        self.unheard.first().is_some_and(|receive| receive.from <= at)
    }

    /// The earliest moment at which a lease can have been granted. A delivery that does not say how long it is held
    /// may be the answer to a receive that was asked before, and of which nobody heard.
    pub(super) fn granted_from(&self, grant: &Grant) -> Micros {
        let unheard = self.unheard.first().filter(|_| grant.held.is_none()).map(|receive| receive.from);
        unheard.map_or(grant.seen.from, |from| from.min(grant.seen.from))
    }

    /// From when on a consumer's lease may have ended with its session, for leases granted at `granted`.
    pub(super) fn closed_from(&self, consumer: Consumer, granted: &Seen) -> Option<Micros> {
        let closes = self.closes.get(&consumer)?.iter().filter(|close| close.to >= granted.from);
        closes.map(|close| close.from.max(granted.from)).min()
    }

    /// The first purge that may have met a message after this moment.
    pub(super) fn purged_from(&self, at: Micros) -> Option<Micros> {
        self.purges.iter().filter(|purge| purge.to >= at).map(|purge| purge.from.max(at)).min()
    }
}

impl End {
    /// The message's state; gone when the replica has none.
    pub(super) fn of(&self, id: MessageId) -> MessageState {
        self.messages.get(&id.id).copied().unwrap_or(MessageState::Gone)
    }
}
