//! What a judge is given of one message.

use super::life::{Grant, Life, Seen, named};
use super::topic::{End, Topic};
use crate::appended::Appended;
use crate::{Anomaly, Findings, MessageId, Micros, Options, QueueOptions};

/// One message, with what surrounds it.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) name: &'a str,
    pub(super) topic: &'a Topic,
    pub(super) streams: &'a Appended<Seen>,
    pub(super) id: MessageId,
    pub(super) life: &'a Life,
    pub(super) options: &'a Options,
    pub(super) queue: &'a QueueOptions,
}

impl<'a> Case<'a> {
    /// Reports a violation that these operations prove, the last of them at last.
    pub(super) fn violates(
        &self,
        found: &mut Findings,
        (check, name): (&str, &str),
        text: String,
        evidence: &[&Seen],
    ) {
        let subject = named(self.id, self.life.sent.as_ref());
        found.add(anomaly((check, name), (self.name, subject), text, evidence));
    }

    /// How long a lease surely lasted from when it was granted; None when it may have ended at any time.
    pub(super) fn surely_held(&self, grant: &Grant) -> Option<Micros> {
        grant.held.map(|held| self.options.surely(held))
    }

    /// From when on the lease may have ended because its session did.
    pub(super) fn closed_from(&self, grant: &Grant) -> Option<Micros> {
        self.topic.closed_from(grant.consumer, &grant.seen)
    }

    /// The state of the message's partition when all was over.
    pub(super) fn end(&self) -> Option<&'a End> {
        self.topic.end(self.id.partition)
    }

    /// Whether a purge may have met the message.
    pub(super) fn may_be_purged(&self) -> bool {
        let from = self.life.sent.as_ref().map_or(0, |sent| sent.seen.from);
        self.topic.purged_from(from).is_some()
    }
}

/// A violation of one of the checks of queues. `about` is the topic, and what of it in words.
pub(super) fn anomaly(
    (check, name): (&str, &str),
    (topic, subject): (&str, String),
    text: String,
    evidence: &[&Seen],
) -> Anomaly {
    let mut lines: Vec<u64> = evidence.iter().map(|seen| seen.line).collect();
    lines.sort_unstable();
    lines.dedup();
    Anomaly {
        check: check.to_owned(),
        name: name.to_owned(),
        at: evidence.iter().map(|seen| seen.known()).max().unwrap_or(0),
        topic: topic.to_owned(),
        subject,
        text,
        evidence: lines,
    }
}
