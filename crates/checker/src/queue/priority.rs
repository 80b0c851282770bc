//! Q14. While a message of a higher class is ready, no receive brings one of a lower class.
//!
//! A message is surely ready throughout a receive when it was in the queue before, and its first lease is a first
//! attempt that began after; and no receive whose answer nobody heard can have leased it meanwhile. Messages with a
//! key, a delay or a TTL, and queues that may have been purged, prove nothing.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::Whole;
use super::case::anomaly;
use super::life::{Grant, Life, Seen, Sent};
use crate::{Findings, MessageId, Micros};

/// A message that was ready from when it was surely sent until its first lease began.
#[derive(Clone, Copy)]
struct Ready<'a> {
    id: u64,
    sent: &'a Sent,
    granted: &'a Grant,
}

/// Ready messages of one class in the order in which they were there, each with the one up to it that stayed longest.
type Class<'a> = Vec<(Micros, Ready<'a>)>;

pub(super) fn judge(whole: &Whole<'_>, found: &mut Findings) {
    let class = |life: &Life| life.terms().and_then(|terms| terms.priority).unwrap_or(whole.queue.priority);
    let mut all = whole.partition.values().map(class);
    let first = all.next();
    if all.all(|other| Some(other) == first) {
        return;
    }
    let mut classes: BTreeMap<u8, Vec<Ready<'_>>> = BTreeMap::new();
    for (id, life) in whole.partition {
        if let Some(ready) = ready(whole, *id, life) {
            classes.entry(class(life)).or_default().push(ready);
        }
    }
    let classes: BTreeMap<u8, Class<'_>> =
        classes.into_iter().map(|(class, ready)| (class, longest(ready))).collect();
    for (id, life) in whole.partition {
        let id = MessageId { partition: whole.number, id: *id };
        for grant in &life.grants {
            let mut higher = classes.range((Bound::Excluded(class(life)), Bound::Unbounded));
            let passed = higher.find_map(|(class, ready)| Some((*class, waiting(ready, &grant.seen)?)));
            if let Some((higher, waiting)) = passed {
                let better = MessageId { id: waiting.id, ..id };
                let text = format!(
                    "{id} of class {} was delivered while {better} of class {higher} was ready",
                    class(life)
                );
                let evidence = [&waiting.sent.seen, &grant.seen, &waiting.granted.seen];
                let about = (whole.name, format!("partition {}", whole.number));
                found.add(anomaly(("Q14", "priority-inversion"), about, text, &evidence));
            }
        }
    }
}

fn ready<'a>(whole: &Whole<'_>, id: u64, life: &'a Life) -> Option<Ready<'a>> {
    let sent = life.sent.as_ref().filter(|sent| sent.seen.is_ok())?;
    let plain = life
        .terms()
        .is_none_or(|terms| terms.key.is_none() && terms.not_before.is_none() && terms.expires.is_none());
    let granted = life.grants.iter().min_by_key(|grant| grant.seen.from)?;
    let unheard = &whole.topic.unheard;
    let hidden =
        unheard.iter().any(|receive| receive.to >= sent.seen.from && receive.from <= granted.seen.to);
    let stays = whole.queue.ttl.is_none() && whole.topic.purged_from(sent.seen.from).is_none();
    (plain && stays && !hidden && granted.attempt == 1).then_some(Ready { id, sent, granted })
}

fn longest(mut ready: Vec<Ready<'_>>) -> Class<'_> {
    ready.sort_by_key(|ready| ready.sent.seen.to);
    let mut class: Class<'_> = Vec::with_capacity(ready.len());
    for ready in ready {
        let stays = class.last().map(|(_, longest)| *longest);
        let stays = stays.filter(|longest| longest.granted.seen.from >= ready.granted.seen.from);
        class.push((ready.sent.seen.to, stays.unwrap_or(ready)));
    }
    class
}

/// One that was ready from before the receive began until after it was over.
fn waiting<'a>(class: &Class<'a>, receive: &Seen) -> Option<Ready<'a>> {
    let there = class.partition_point(|(from, _)| *from < receive.from);
    let (_, longest) = class.get(there.checked_sub(1)?)?;
    (longest.granted.seen.from > receive.to).then_some(*longest)
}
