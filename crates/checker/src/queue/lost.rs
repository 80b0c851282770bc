//! Q1, promise P1. What was acknowledged is delivered, or still there when all is over.
//!
//! It is there in the end when the replica that applied most has it. Without a replica's state, or with none but older
//! ones, everything must have been delivered by the time of the phase `end`; without that phase nothing is proved.

use std::collections::BTreeMap;
use std::ops::Range;

use super::case::anomaly;
use super::values::{Fate, Payloads, Sent};
use crate::{Findings, MessageState, Micros, Value};

/// What the history says of a payload that nobody saw.
enum Missing {
    Lost,
    Kept,
    Unknown,
}

pub(super) fn judge(payloads: &Payloads, clock_offset: Micros, found: &mut Findings) {
    let seen = seen_of(&payloads.fates);
    let mut unknown = 0_u64;
    for (value, fate) in &payloads.fates {
        let Some(sent) = fate.sent.filter(|sent| sent.seen.is_ok() && fate.delivered.is_none()) else {
            continue;
        };
        match missing(payloads, &sent, clock_offset) {
            Missing::Kept => {}
            Missing::Unknown => unknown += 1,
            Missing::Lost => {
                let text = format!(
                    "it was acknowledged{} and never seen again; it lies {}",
                    sent.at.map(|id| format!(" as {id}")).unwrap_or_default(),
                    lies(value.sequence, seen.get(&value.producer))
                );
                let about = (payloads.name.as_str(), value.to_string());
                found.add(anomaly(("Q1", "lost-message"), about, text, &[&sent.seen]));
            }
        }
    }
    if unknown > 0 {
        let name = &payloads.name;
        found
            .unknown
            .push(format!("{name}: {unknown} messages were not seen, and the history ends too early"));
    }
}

fn missing(payloads: &Payloads, sent: &Sent, clock_offset: Micros) -> Missing {
    let ttl = payloads.ttl.map(|ttl| sent.seen.from.saturating_add(ttl));
    let expires = sent.expires.or(ttl);
    let expired = expires.is_some_and(|at| at.saturating_sub(clock_offset) <= payloads.last);
    let dropped = sent.at.is_some_and(|id| payloads.dropped.contains(&id));
    if expired || dropped || payloads.topic.purged_from(sent.seen.from).is_some() {
        return Missing::Kept;
    }
    let end = sent.at.and_then(|id| Some((id, payloads.topic.end(id.partition)?)));
    match end.filter(|(_, end)| sent.seen.precedes(&end.seen)) {
        Some((id, end)) if end.of(id) == MessageState::Gone => Missing::Lost,
        Some((_, end)) if payloads.over.is_none_or(|over| end.seen.from >= over) => Missing::Kept,
        _ if payloads.over.is_some() => Missing::Lost,
        _ => Missing::Unknown,
    }
}

/// First and last sequence of each producer that was seen.
fn seen_of(fates: &BTreeMap<Value, Fate>) -> BTreeMap<u32, Range<u64>> {
    let mut seen: BTreeMap<u32, Range<u64>> = BTreeMap::new();
    for (value, _) in fates.iter().filter(|(_, fate)| fate.delivered.is_some()) {
        let range = seen.entry(value.producer).or_insert(value.sequence..value.sequence);
        range.end = range.end.max(value.sequence);
    }
    seen
}

/// Losses in the middle are proof; those at the end may be what is still on its way.
fn lies(sequence: u64, seen: Option<&Range<u64>>) -> &'static str {
    match seen {
        Some(seen) if sequence < seen.start => "before all that was seen of its producer",
        Some(seen) if sequence < seen.end => "in the middle of what was seen of its producer",
        Some(_) => "after all that was seen of its producer",
        None => "with its producer, of whom nothing was seen",
    }
}
