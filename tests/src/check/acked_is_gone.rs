//! P2. Grants of a message are ordered by their lease ids, so times do not matter: any delivery under a later grant
//! than the one whose ack was acknowledged is one too many. (One under the same or an earlier grant may have been on
//! its way for long.)

use std::collections::BTreeMap;

use super::Check;
use crate::history::Message;
use crate::{Answered, Op, Span};

/// Compares the acked grant of each message with its last one.
#[derive(Default)]
pub(super) struct AckedIsGone {
    acked: BTreeMap<Message, u64>,
    granted_last: BTreeMap<Message, u64>,
}

impl Check for AckedIsGone {
    fn property(&self) -> &'static str {
        "P2 a message is never delivered again after an acknowledged ack"
    }

    fn observe(&mut self, _: Span, op: &Op) {
        match op {
            Op::Settled { message, lease_id, ack: true, answered: Answered::Yes } => {
                let acked = self.acked.entry(*message).or_insert(*lease_id);
                *acked = (*acked).min(*lease_id);
            }
            Op::Delivered { message, lease_id, .. } => {
                let last = self.granted_last.entry(*message).or_insert(*lease_id);
                *last = (*last).max(*lease_id);
            }
            _ => {}
        }
    }

    fn violations(&self) -> Vec<String> {
        let again = self.acked.iter().filter_map(|(message, acked)| {
            let last = self.granted_last.get(message).filter(|last| *last > acked)?;
            Some(format!("message {message:?}, acked under lease {acked}, was granted again as lease {last}"))
        });
        again.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::written::{acked, delivered, given_back, verdict};

    #[test]
    fn deliveries_before_the_ack_are_fine() {
        let ops = [
            delivered(1, 0, 7, 1),
            given_back(0, 7, 1, Answered::Yes),
            delivered(1, 0, 7, 2),
            acked(0, 7, 2),
        ];
        assert_eq!(verdict(AckedIsGone::default(), &ops), 0);
    }

    #[test]
    fn a_delivery_of_an_earlier_grant_may_come_late() {
        assert_eq!(
            verdict(AckedIsGone::default(), &[delivered(1, 0, 7, 2), acked(0, 7, 2), delivered(1, 0, 7, 1)]),
            0
        );
    }

    #[test]
    fn another_message_with_the_same_id_in_another_partition_is_another_one() {
        assert_eq!(verdict(AckedIsGone::default(), &[acked(0, 7, 1), delivered(1, 1, 7, 2)]), 0);
    }

    #[test]
    fn a_grant_after_the_ack_is_one_too_many() {
        assert_eq!(
            verdict(AckedIsGone::default(), &[delivered(1, 0, 7, 1), acked(0, 7, 1), delivered(1, 0, 7, 2)]),
            1
        );
    }

    #[test]
    fn a_grant_that_is_seen_before_the_ack_is_answered_counts_too() {
        assert_eq!(verdict(AckedIsGone::default(), &[delivered(1, 0, 7, 2), acked(0, 7, 1)]), 1);
    }
}
