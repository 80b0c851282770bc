//! Whether there is an order, by trying everything: from one whole moment to the next, any operation whose time it is
//! may happen, and the message may do what it does by itself.

use std::collections::BTreeSet;

use weir_checker::{Event, How, Micros, Op, Outcome};

use crate::generate::Generated;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Where {
    Nowhere,
    Waiting { failed: u32, late: Option<u64> },
    With { failed: u32, lease: u64, until: Micros },
    Aside { failed: u32 },
    Over,
}

/// A moment, the operations that have happened (bits), the last lease, and the message.
type Point = (Micros, u32, u64, Where);

pub(crate) fn explains(generated: &Generated) -> bool {
    let events = &generated.events;
    let last = events.iter().filter_map(|event| event.to).max().unwrap_or(0);
    let last = events.iter().map(|event| event.from).fold(last, Micros::max);
    let sent = events.iter().any(|event| matches!(event.op, Op::Enqueue { .. }));
    let start = if sent { Where::Nowhere } else { Where::Waiting { failed: 0, late: None } };
    let mut seen: BTreeSet<Point> = BTreeSet::from([(0, 0, 0, start)]);
    let mut open: Vec<Point> = seen.iter().copied().collect();
    while let Some(point) = open.pop() {
        let (now, done, _, _) = point;
        let left = |event: &Event, place: usize| done & (1 << place) == 0 && event.outcome != Outcome::Info;
        if !events.iter().enumerate().any(|(place, event)| left(event, place)) {
            return true;
        }
        // What had to happen by now, and did not, never will.
        let missed =
            |(place, event): (usize, &Event)| left(event, place) && event.to.is_some_and(|to| to < now);
        if now > last || events.iter().enumerate().any(missed) {
            continue;
        }
        let next = next(generated, point);
        open.extend(next.into_iter().filter(|next| seen.insert(*next)));
    }
    false
}

fn next(generated: &Generated, (now, done, last_lease, place): Point) -> Vec<Point> {
    let mut next = vec![(now + 1, done, last_lease, place)];
    let silent = match place {
        Where::With { failed, lease, until } if now >= until => {
            after_failure(generated, failed + 1, Some(lease))
        }
        Where::Waiting { failed, late: Some(_) } => vec![Where::Waiting { failed, late: None }],
        _ => Vec::new(),
    };
    next.extend(silent.into_iter().map(|place| (now, done, last_lease, place)));
    for (number, event) in generated.events.iter().enumerate() {
        if done & (1 << number) != 0 || event.from > now || event.to.is_some_and(|to| to < now) {
            continue;
        }
        let granted = match &event.op {
            Op::Receive { deliveries, .. } => deliveries[0].lease,
            _ => last_lease,
        };
        if granted < last_lease || (granted == last_lease && matches!(event.op, Op::Receive { .. })) {
            continue;
        }
        let places = happen(generated, event, now, place);
        next.extend(places.into_iter().map(|place| (now, done | 1 << number, granted, place)));
    }
    next
}

fn after_failure(generated: &Generated, failed: u32, late: Option<u64>) -> Vec<Where> {
    let last = generated.attempts_max.map(|max| failed >= max);
    let mut places = Vec::new();
    if last != Some(true) {
        places.push(Where::Waiting { failed, late });
    }
    if last != Some(false) {
        places.push(Where::Aside { failed });
    }
    places
}

fn happen(generated: &Generated, event: &Event, now: Micros, place: Where) -> Vec<Where> {
    match (&event.op, place) {
        (Op::Enqueue { .. }, Where::Nowhere) | (Op::Redrive { .. }, Where::Aside { .. }) => {
            vec![Where::Waiting { failed: 0, late: None }]
        }
        (Op::Receive { deliveries, .. }, Where::Waiting { failed, .. }) => {
            let delivery = deliveries[0];
            let allowed = generated.attempts_max.is_none_or(|max| delivery.attempt <= max);
            let until = now + delivery.held.unwrap_or(0);
            let with = Where::With { failed, lease: delivery.lease, until };
            (allowed && delivery.attempt == failed + 1).then_some(with).into_iter().collect()
        }
        (Op::ListParked { messages, .. }, Where::Aside { failed }) if messages[0].attempts == failed => {
            vec![place]
        }
        (Op::Discard { .. }, Where::Aside { .. }) => vec![Where::Over],
        (Op::Settle { lease, how, .. }, _) if event.outcome == Outcome::Fail => {
            let runs = matches!(place, Where::With { lease: current, .. } if current == *lease);
            let fine = matches!(how, How::Extend(_)) || !runs;
            fine.then_some(place).into_iter().collect()
        }
        (Op::Settle { lease, how, .. }, _) => {
            let failed = match place {
                Where::With { failed, lease: current, .. } if current == *lease => failed,
                Where::Waiting { failed, late: Some(late) } if late == *lease => failed - 1,
                _ => return Vec::new(),
            };
            match how {
                How::Ack => vec![Where::Over],
                How::Nack => after_failure(generated, failed + 1, None),
                How::Release => vec![Where::Waiting { failed, late: None }],
                How::Reject => vec![Where::Aside { failed: failed + 1 }],
                How::Extend(more) => vec![Where::With { failed, lease: *lease, until: now + more }],
            }
        }
        _ => Vec::new(),
    }
}
