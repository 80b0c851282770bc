//! P6. Once a later grant of a message was seen, a settle that begins afterwards under an earlier one must fail.

use std::collections::BTreeMap;

use super::Check;
use crate::history::Message;
use crate::{Answered, Op, Span};

/// Keeps when each grant was first seen; operations come in the order of their ends, so that all grants seen before a
/// settle began are there when its answer is.
#[derive(Default)]
pub(super) struct SupersededSettleFails {
    seen: BTreeMap<Message, BTreeMap<u64, u64>>,
    violations: Vec<String>,
}

impl Check for SupersededSettleFails {
    fn property(&self) -> &'static str {
        "P6 a superseded settle never succeeds"
    }

    fn observe(&mut self, span: Span, op: &Op) {
        match op {
            Op::Delivered { message, lease_id, .. } => {
                self.seen.entry(*message).or_default().entry(*lease_id).or_insert(span.to);
            }
            Op::Settled { message, lease_id, answered: Answered::Yes, .. } => {
                let later = self.seen.get(message).into_iter().flat_map(|seen| seen.range(lease_id + 1..));
                for (superseding, seen) in later.filter(|(_, seen)| **seen < span.from) {
                    self.violations.push(format!(
                        "a settle of {message:?} under lease {lease_id} succeeded {} ms after lease {superseding} was seen",
                        (span.from - seen) / 1000
                    ));
                }
            }
            _ => {}
        }
    }

    fn violations(&self) -> Vec<String> {
        self.violations.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::written::{acked, delivered, given_back, verdict};

    #[test]
    fn a_settle_of_the_current_lease_succeeds() {
        assert_eq!(verdict(SupersededSettleFails::default(), &[delivered(1, 0, 7, 1), acked(0, 7, 1)]), 0);
    }

    #[test]
    fn a_superseded_settle_that_was_refused_is_fine() {
        let ops =
            [delivered(1, 0, 7, 1), delivered(1, 0, 7, 2), given_back(0, 7, 1, Answered::No), acked(0, 7, 2)];
        assert_eq!(verdict(SupersededSettleFails::default(), &ops), 0);
    }

    #[test]
    fn a_superseded_ack_must_not_succeed() {
        let ops = [delivered(1, 0, 7, 1), delivered(1, 0, 7, 2), acked(0, 7, 1)];
        assert_eq!(verdict(SupersededSettleFails::default(), &ops), 1);
    }

    #[test]
    fn a_superseded_return_must_not_succeed() {
        let ops = [delivered(1, 0, 7, 3), delivered(1, 0, 7, 5), given_back(0, 7, 3, Answered::Yes)];
        assert_eq!(verdict(SupersededSettleFails::default(), &ops), 1);
    }

    #[test]
    fn a_settle_of_another_message_is_untouched() {
        let ops = [delivered(1, 0, 7, 1), delivered(2, 0, 8, 2), acked(0, 7, 1)];
        assert_eq!(verdict(SupersededSettleFails::default(), &ops), 0);
    }
}
