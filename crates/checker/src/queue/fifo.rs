//! Q12, promises P4 and P15. Messages of one key leave in the order in which they came: none is delivered for the
//! first time before an earlier one of its key that was surely there, and none while more earlier ones are left than
//! may be leased at once.
//!
//! An earlier message is surely left throughout a delivery when it was in the queue before, and something that needs
//! it there (a lease, a settle that succeeded) happened after. Messages with a delay, and those that a redrive may
//! have brought back in between, excuse themselves. Where parked messages hold their keys they are left all the while,
//! and no redrive excuses anything.

use std::collections::BTreeMap;

use super::Whole;
use super::case::anomaly;
use super::life::{Act, Grant, Life, Seen, Sent};
use crate::{Findings, MessageId, Micros};

const CHECK: &str = "Q12";

/// A message of a key.
struct Placed<'a> {
    id: u64,
    life: &'a Life,
    sent: &'a Sent,
    /// The latest beginning of something that needs it there.
    left_until: Option<Seen>,
}

pub(super) fn judge(whole: &Whole<'_>, found: &mut Findings) {
    let mut keys: BTreeMap<(&str, Option<u8>), Vec<Placed<'_>>> = BTreeMap::new();
    for (id, life) in whole.partition {
        let Some((key, sent)) = life.key().zip(life.sent.as_ref()) else { continue };
        let terms = life.terms();
        if terms.is_some_and(|terms| terms.not_before.is_some()) {
            continue;
        }
        let priority = terms.and_then(|terms| terms.priority);
        let left_until = left_until(life, whole.queue.parked_hold_key);
        let placed = Placed { id: *id, life, sent, left_until };
        keys.entry((key, priority)).or_default().push(placed);
    }
    for ((key, _), messages) in &keys {
        arrivals(whole, key, messages, found);
        first_deliveries(whole, key, messages, found);
        overtaken(whole, key, messages, found);
    }
}

/// The latest beginning of something that needs the message in its queue.
pub(super) fn left_until(life: &Life, parked_hold_key: bool) -> Option<Seen> {
    let redriven = life.acts.iter().any(|(act, seen)| *act == Act::Redrive && seen.may_have_happened());
    let settles = life.settles.iter().map(|settle| settle.seen).filter(Seen::is_ok);
    let needs = life.grants.iter().map(|grant| grant.seen).chain(settles);
    let parked = life.looks.iter().map(|look| look.seen).filter(|look| parked_hold_key && look.is_ok());
    needs.chain(parked).filter(|_| parked_hold_key || !redriven).max_by_key(|seen| seen.from)
}

fn first(life: &Life) -> Option<&Grant> {
    life.grants.iter().min_by_key(|grant| grant.seen.to)
}

/// Ids follow the order of arrival.
fn arrivals(whole: &Whole<'_>, key: &str, messages: &[Placed<'_>], found: &mut Findings) {
    // Going back from the highest id, the earliest that was sent for sure so far must not precede the next.
    let mut earliest: Option<&Placed<'_>> = None;
    for placed in messages.iter().rev() {
        if let Some(after) = earliest.filter(|after| after.sent.seen.precedes(&placed.sent.seen)) {
            let text = format!(
                "{} was sent after {} and got the lower id",
                named(whole, placed),
                named(whole, after)
            );
            report(whole, key, "fifo-order", (text, &[&after.sent.seen, &placed.sent.seen]), found);
        }
        if placed.sent.seen.is_ok() && earliest.is_none_or(|after| placed.sent.seen.to < after.sent.seen.to) {
            earliest = Some(placed);
        }
    }
}

/// Of two messages the earlier is delivered first.
fn first_deliveries(whole: &Whole<'_>, key: &str, messages: &[Placed<'_>], found: &mut Findings) {
    let mut soonest: Option<(&Placed<'_>, &Grant)> = None;
    for placed in messages.iter().rev() {
        let Some(grant) = first(placed.life) else { continue };
        let begun = placed.life.grants.iter().map(|grant| grant.seen.from).min().unwrap_or(grant.seen.from);
        if let Some((later, overtook)) = soonest.filter(|(_, overtook)| overtook.seen.to < begun) {
            let there = placed.sent.seen.is_ok() && placed.sent.seen.to < overtook.seen.from;
            let excused = placed.life.may_have(Act::Redrive, &overtook.seen, &grant.seen)
                || whole.topic.unheard_by(overtook.seen.to);
            if there && !excused {
                let text = format!("{} was delivered before {}", named(whole, later), named(whole, placed));
                report(whole, key, "fifo-order", (text, &[&overtook.seen, &grant.seen]), found);
            }
        }
        if soonest.is_none_or(|(_, other)| grant.seen.to < other.seen.to) {
            soonest = Some((placed, grant));
        }
    }
}

/// No message is delivered while as many earlier ones are left as may be leased at once.
fn overtaken(whole: &Whole<'_>, key: &str, messages: &[Placed<'_>], found: &mut Findings) {
    // The latest need among each message and all before it: once that is over, nothing earlier is left.
    let mut latest: Vec<Micros> = Vec::with_capacity(messages.len());
    for placed in messages {
        let own = placed.left_until.map_or(0, |seen| seen.from);
        latest.push(latest.last().map_or(own, |before| own.max(*before)));
    }
    for (place, placed) in messages.iter().enumerate() {
        for grant in &placed.life.grants {
            let mut left: Vec<(&Placed<'_>, Seen)> = Vec::new();
            for earlier in (0..place).rev() {
                if latest[earlier] <= grant.seen.to || left.len() >= whole.queue.inflight_per_key_max {
                    break;
                }
                let other = &messages[earlier];
                let there = other.sent.seen.is_ok() && other.sent.seen.precedes(&grant.seen);
                let needed = other.left_until.filter(|needed| there && grant.seen.precedes(needed));
                left.extend(needed.map(|needed| (other, needed)));
            }
            if left.len() >= whole.queue.inflight_per_key_max
                && let Some((other, needed)) = left.first()
            {
                let text = format!(
                    "{} was delivered under lease {} while {} was left",
                    named(whole, placed),
                    grant.lease,
                    named(whole, other)
                );
                report(whole, key, "fifo-overtaken", (text, &[&grant.seen, needed]), found);
            }
        }
    }
}

fn named(whole: &Whole<'_>, placed: &Placed<'_>) -> String {
    super::life::named(MessageId { partition: whole.number, id: placed.id }, Some(placed.sent))
}

fn report(
    whole: &Whole<'_>,
    key: &str,
    name: &str,
    (text, evidence): (String, &[&Seen]),
    found: &mut Findings,
) {
    found.add(anomaly((CHECK, name), (whole.name, format!("key {key}")), text, evidence));
}
