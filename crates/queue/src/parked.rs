//! The parked messages.

use std::collections::BTreeSet;

use weir_types::MessageId;

use crate::command::ParkKind;

/// Parked messages by reason, each in order of arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parked {
    messages: BTreeSet<(ParkKind, MessageId)>,
}

const KINDS: [ParkKind; 2] = [ParkKind::AttemptsUsedUp, ParkKind::Rejected];

impl Parked {
    pub(crate) fn add(&mut self, kind: ParkKind, message: MessageId) {
        let new = self.messages.insert((kind, message));
        assert!(new, "message {message} is parked already");
    }

    pub(crate) fn remove(&mut self, kind: ParkKind, message: MessageId) {
        let known = self.messages.remove(&(kind, message));
        assert!(known, "message {message} was not parked");
    }

    /// At most `max` messages from `from` on, of one kind or of all, in order of arrival.
    pub(crate) fn list(&self, kind: Option<ParkKind>, from: MessageId, max: usize) -> Vec<MessageId> {
        let kinds = KINDS.into_iter().filter(|known| kind.is_none_or(|wanted| wanted == *known));
        let mut found: Vec<MessageId> = kinds
            .flat_map(|kind| {
                self.messages.range((kind, from)..=(kind, MessageId(u64::MAX))).take(max).map(|(_, id)| *id)
            })
            .collect();
        found.sort_unstable();
        found.truncate(max);
        found
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }
}
