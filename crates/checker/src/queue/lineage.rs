//! Q18, promises P4 and P15. Messages of one key keep their order when its partition is split or merged: none is sent to
//! a parent after one was in a child, and none of a child is delivered while one of its key is left in a parent, however
//! many of a key may be leased at once.
//!
//! What is surely left, and what excuses it, is as in `fifo.rs`. Lease ids rise along the lineage, too (Q9).
//!
//! Messages of a key may be in any partition, so this sees all of them: of queues whose messages have no keys it keeps
//! nothing, and where keys come late, it judges messages that were sent from then on.

use std::collections::BTreeMap;

use super::case::anomaly;
use super::fifo::left_until;
use super::life::{Act, Grant, Life, Seen, Sent, named};
use super::lives::{Lives, Partition};
use super::topic::Topic;
use crate::checks::{Fold, Shard};
use crate::lineage::Lineage;
use crate::{Checked, Event, Findings, MessageId, Micros, Op, Options, QueueOptions};

const CHECK: &str = "Q18";

/// What is kept of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// Everything from this time on.
    Since(Micros),
    /// Nothing: its messages have no keys.
    Nothing,
}

/// The fold.
pub(super) struct Lines {
    options: Options,
    lives: Lives,
    kept: BTreeMap<String, Kept>,
    lineages: BTreeMap<String, Lineage>,
}

impl Lines {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            options: options.clone(),
            lives: Lives::new(options, Shard::WHOLE),
            kept: BTreeMap::new(),
            lineages: BTreeMap::new(),
        }
    }

    /// Whether events of the queue are of use; a message with or without a key was sent, if one is given.
    fn keeps(&mut self, topic: &str, sent: Option<(bool, Micros)>) -> bool {
        let known = self.kept.get(topic).copied();
        let kept = match (known, sent) {
            (None, None) => return true,
            (None, Some((true, _))) => Kept::Since(0),
            (None, Some((false, _))) => {
                self.lives.forget(topic);
                Kept::Nothing
            }
            (Some(Kept::Nothing), Some((true, now))) => Kept::Since(now),
            (Some(kept), _) => kept,
        };
        if known != Some(kept) {
            self.kept.insert(topic.to_owned(), kept);
        }
        kept != Kept::Nothing
    }
}

/// The queue that an operation is about, of those that say something of single messages.
fn queue_of(op: &Op) -> Option<&str> {
    match op {
        Op::Enqueue { topic, .. }
        | Op::Receive { topic, .. }
        | Op::Settle { topic, .. }
        | Op::ListParked { topic, .. }
        | Op::Redrive { topic, .. }
        | Op::AckAndAppend { queue: topic, .. } => Some(topic),
        _ => None,
    }
}

impl Fold for Lines {
    fn observe(&mut self, line: u64, event: &Event) {
        if let Op::Reshaped { topic, parents, children } = &event.op {
            self.lineages.entry(topic.clone()).or_default().note(parents, children);
            return;
        }
        let Some(topic) = queue_of(&event.op) else { return };
        let sent = match &event.op {
            Op::Enqueue { terms, .. } => Some((terms.key.is_some(), event.to.unwrap_or(event.from))),
            _ => None,
        };
        if self.keeps(topic, sent) {
            self.lives.observe(line, event);
        }
    }

    fn finish(self: Box<Self>) -> Vec<Checked> {
        let Self { options, lives, kept, lineages } = *self;
        let (mut order, mut tokens) = (Findings::default(), Findings::default());
        for (name, topic, partitions) in lives.into_topics() {
            let (Some(lineage), Some(Kept::Since(since))) = (lineages.get(&name), kept.get(&name)) else {
                continue;
            };
            let whole = Whole { name: &name, topic: &topic };
            for (key, places) in by_key(&partitions, *since, options.queue(&name)) {
                for (child, later) in &places {
                    for parent in lineage.ancestors(*child) {
                        let Some(earlier) = places.get(&parent) else { continue };
                        let pair = Pair { key, earlier, later };
                        arrivals(&whole, &pair, &mut order);
                        first_deliveries(&whole, &pair, &mut order);
                        overtaken(&whole, &pair, &mut order);
                        leases(&whole, &pair, &mut tokens);
                    }
                }
            }
        }
        let all = [("Q18 lineage", order), ("Q9 lease-token-regress", tokens)];
        all.map(|(name, findings)| Checked { name: name.to_owned(), findings }).into()
    }
}

/// A queue, with what surrounds it.
struct Whole<'a> {
    name: &'a str,
    topic: &'a Topic,
}

/// A message of a key.
struct Placed<'a> {
    id: MessageId,
    life: &'a Life,
    sent: &'a Sent,
    left_until: Option<Seen>,
    first: Option<&'a Grant>,
}

/// Messages of one key in two partitions, the later ones in the one that took over from the other.
struct Pair<'a> {
    key: &'a str,
    earlier: &'a [Placed<'a>],
    later: &'a [Placed<'a>],
}

/// The messages of every key, by partition.
fn by_key<'a>(
    partitions: &'a BTreeMap<u32, Partition>,
    since: Micros,
    queue: &QueueOptions,
) -> BTreeMap<&'a str, BTreeMap<u32, Vec<Placed<'a>>>> {
    let mut keys: BTreeMap<&str, BTreeMap<u32, Vec<Placed<'_>>>> = BTreeMap::new();
    for (number, partition) in partitions {
        for (id, life) in partition {
            let Some((key, sent)) = life.key().zip(life.sent.as_ref()) else { continue };
            let delayed = life.terms().is_some_and(|terms| terms.not_before.is_some());
            if delayed || sent.seen.from < since {
                continue;
            }
            let id = MessageId { partition: *number, id: *id };
            let left_until = left_until(life, queue.parked_hold_key);
            let first = life.grants.iter().min_by_key(|grant| grant.seen.to);
            let placed = Placed { id, life, sent, left_until, first };
            keys.entry(key).or_default().entry(*number).or_default().push(placed);
        }
    }
    keys
}

/// Nothing is sent to the parent after something was in the child.
fn arrivals(whole: &Whole<'_>, pair: &Pair<'_>, found: &mut Findings) {
    let there = pair.later.iter().filter(|placed| placed.sent.seen.is_ok());
    let Some(there) = there.min_by_key(|placed| placed.sent.seen.to) else { return };
    let late = pair.earlier.iter().max_by_key(|placed| placed.sent.seen.from);
    if let Some(late) = late.filter(|late| there.sent.seen.precedes(&late.sent.seen)) {
        let text = format!("{} was sent after {}, and lies before it", late.named(), there.named());
        report(whole, pair.key, "lineage-order", (text, &[&there.sent.seen, &late.sent.seen]), found);
    }
}

/// Nothing of the child is delivered before something that was in the parent before, and came later.
fn first_deliveries(whole: &Whole<'_>, pair: &Pair<'_>, found: &mut Findings) {
    let grants = pair.later.iter().filter_map(|placed| Some((placed, placed.first?)));
    let Some((later, overtook)) = grants.min_by_key(|(_, grant)| grant.seen.to) else { return };
    for placed in pair.earlier {
        let Some(grant) = placed.first else { continue };
        let begun = placed.life.grants.iter().map(|grant| grant.seen.from).min().unwrap_or(grant.seen.from);
        let there = placed.sent.seen.is_ok() && placed.sent.seen.precedes(&overtook.seen);
        let excused = placed.life.may_have(Act::Redrive, &overtook.seen, &grant.seen)
            || whole.topic.unheard_by(overtook.seen.to);
        if there && overtook.seen.to < begun && !excused {
            let text = format!("{} was delivered before {}", later.named(), placed.named());
            report(whole, pair.key, "lineage-order", (text, &[&overtook.seen, &grant.seen]), found);
            return;
        }
    }
}

/// Nothing of the child is delivered while something is left in the parent.
fn overtaken(whole: &Whole<'_>, pair: &Pair<'_>, found: &mut Findings) {
    let sure = pair.earlier.iter().filter(|placed| placed.sent.seen.is_ok());
    let mut left: Vec<(&Placed<'_>, Seen)> =
        sure.filter_map(|placed| Some((placed, placed.left_until?))).collect();
    left.sort_by_key(|(_, needed)| std::cmp::Reverse(needed.from));
    for placed in pair.later {
        for grant in &placed.life.grants {
            let needed = left.iter().take_while(|(_, needed)| grant.seen.precedes(needed));
            let mut there = needed.filter(|(other, _)| other.sent.seen.precedes(&grant.seen));
            if let Some((other, needed)) = there.next() {
                let text = format!(
                    "{} was delivered under lease {} while {} was left in a partition that comes before",
                    placed.named(),
                    grant.lease,
                    other.named()
                );
                report(whole, pair.key, "lineage-overtaken", (text, &[&grant.seen, needed]), found);
            }
        }
    }
}

/// Leases of the child are above all that the parent ever gives.
fn leases(whole: &Whole<'_>, pair: &Pair<'_>, found: &mut Findings) {
    let all = |placed: &[Placed<'_>]| -> Vec<(MessageId, Grant)> {
        placed.iter().flat_map(|placed| placed.life.grants.iter().map(|grant| (placed.id, *grant))).collect()
    };
    let highest = all(pair.earlier).into_iter().max_by_key(|(_, grant)| grant.lease);
    let lowest = all(pair.later).into_iter().min_by_key(|(_, grant)| grant.lease);
    if let (Some((one, before)), Some((other, next))) = (highest, lowest)
        && next.lease <= before.lease
    {
        let text = format!(
            "lease {} of {other} is not above lease {} of {one}, which comes before",
            next.lease, before.lease
        );
        let about = (whole.name, format!("key {}", pair.key));
        found.add(anomaly(("Q9", "key-token-regress"), about, text, &[&before.seen, &next.seen]));
    }
}

impl Placed<'_> {
    fn named(&self) -> String {
        named(self.id, Some(self.sent))
    }
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
