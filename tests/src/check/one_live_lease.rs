//! P3. A lease surely lives from the moment before it was asked for until its length is over (less one percent for
//! clocks that run unevenly), or until its holder may have given it up. A later grant that was seen within that time
//! is a second live lease; so is one grant that two consumers were given.

use std::collections::BTreeMap;

use super::Check;
use crate::history::Message;
use crate::{Answered, Op, Span};

#[derive(Clone, Copy)]
struct Grant {
    lease_id: u64,
    consumer: u16,
    seen: u64,
    /// Until when it surely lives, if that is known.
    lives_until: Option<u64>,
}

/// Keeps the grants of each message, and when each may have been given up.
#[derive(Default)]
pub(super) struct OneLiveLease {
    grants: BTreeMap<Message, Vec<Grant>>,
    given_up: BTreeMap<(Message, u64), u64>,
}

impl OneLiveLease {
    fn conflict(&self, message: Message, first: &Grant, second: &Grant) -> Option<String> {
        if first.lease_id == second.lease_id && first.consumer != second.consumer {
            let (one, other) = (first.consumer, second.consumer);
            return Some(format!(
                "lease {} of {message:?} went to consumers {one} and {other}",
                first.lease_id
            ));
        }
        let given_up = self.given_up.get(&(message, first.lease_id)).copied().unwrap_or(u64::MAX);
        let live_until = first.lives_until?.min(given_up);
        (second.lease_id > first.lease_id && second.seen < live_until).then(|| {
            format!(
                "lease {} of {message:?} was seen {} ms before lease {} was over",
                second.lease_id,
                (live_until - second.seen) / 1000,
                first.lease_id
            )
        })
    }
}

impl Check for OneLiveLease {
    fn property(&self) -> &'static str {
        "P3 at most one live lease per message"
    }

    fn observe(&mut self, span: Span, op: &Op) {
        match op {
            Op::Delivered { consumer, message, lease_id, held, .. } => {
                let lives_until = held.map(|held| span.from + held / 100 * 99);
                let grant = Grant { lease_id: *lease_id, consumer: *consumer, seen: span.to, lives_until };
                self.grants.entry(*message).or_default().push(grant);
            }
            Op::Settled { message, lease_id, answered, .. } if *answered != Answered::No => {
                let at = self.given_up.entry((*message, *lease_id)).or_insert(span.from);
                *at = (*at).min(span.from);
            }
            _ => {}
        }
    }

    fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (message, grants) in &self.grants {
            for (place, first) in grants.iter().enumerate() {
                let others = grants.iter().enumerate().filter(|(other, _)| *other != place);
                found.extend(others.filter_map(|(_, second)| self.conflict(*message, first, second)));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::written::{delivered, given_back, held, verdict};

    #[test]
    fn a_lease_after_the_first_was_given_back_is_fine() {
        let ops = [held(1, 7, 1, 5_000), given_back(0, 7, 1, Answered::Yes), held(2, 7, 2, 5_000)];
        assert_eq!(verdict(OneLiveLease::default(), &ops), 0);
    }

    #[test]
    fn a_lease_that_may_have_been_given_back_may_be_followed() {
        let ops = [held(1, 7, 1, 5_000), given_back(0, 7, 1, Answered::Unknown), held(2, 7, 2, 5_000)];
        assert_eq!(verdict(OneLiveLease::default(), &ops), 0);
    }

    #[test]
    fn a_lease_that_is_over_may_be_followed() {
        // The hand-made clock ticks ten microseconds per operation.
        assert_eq!(verdict(OneLiveLease::default(), &[held(1, 7, 1, 10), held(2, 7, 2, 10)]), 0);
    }

    #[test]
    fn a_second_lease_while_the_first_lives_is_one_too_many() {
        assert_eq!(verdict(OneLiveLease::default(), &[held(1, 7, 1, 5_000), held(2, 7, 2, 5_000)]), 1);
    }

    #[test]
    fn the_answer_to_the_first_request_may_come_last() {
        assert_eq!(verdict(OneLiveLease::default(), &[delivered(2, 0, 7, 2), held(1, 7, 1, 5_000)]), 1);
    }

    #[test]
    fn a_refused_settle_gives_nothing_up() {
        let ops = [held(1, 7, 1, 5_000), given_back(0, 7, 1, Answered::No), held(2, 7, 2, 5_000)];
        assert_eq!(verdict(OneLiveLease::default(), &ops), 1);
    }

    #[test]
    fn one_grant_belongs_to_one_consumer() {
        let mut second = delivered(1, 0, 7, 1);
        if let Op::Delivered { consumer, .. } = &mut second {
            *consumer = 9;
        }
        assert!(verdict(OneLiveLease::default(), &[delivered(1, 0, 7, 1), second]) > 0);
    }
}
