//! Q7, promise P3. A lease surely runs from when its delivery was seen until its length after the moment before it
//! was asked for, or until its holder may have given it up. A later lease that was seen within that time is a second
//! live one; so is one lease that two consumers were given. Jumps of a wall clock are no excuse: leases do not run on
//! it.

use super::case::Case;
use super::life::Grant;
use crate::{Findings, How, Micros, Outcome};

const CHECK: &str = "Q7";

pub(super) fn judge(case: &Case<'_>, found: &mut Findings) {
    let grants = &case.life.grants;
    for pair in grants.windows(2) {
        let [one, other] = pair else { continue };
        if one.lease == other.lease && one.consumer != other.consumer {
            let (a, b) = (one.consumer.0, other.consumer.0);
            let text = format!("lease {} went to consumers {a} and {b}", one.lease);
            case.violates(found, (CHECK, "lease-shared"), text, &[&one.seen, &other.seen]);
        }
    }
    // In FIFO order a lease is taken away whenever an earlier message of its key comes back: `fifo.rs` judges those.
    if case.life.key().is_some() {
        return;
    }
    for (place, first) in grants.iter().enumerate() {
        let later = grants[place + 1..].iter().find(|later| later.lease > first.lease);
        let (Some(second), Some(until)) = (later, surely_until(case, first)) else { continue };
        if second.seen.to < until {
            let text = format!(
                "lease {} was seen {} us before lease {} can have been over",
                second.lease,
                until - second.seen.to,
                first.lease
            );
            case.violates(found, (CHECK, "lease-double-grant"), text, &[&first.seen, &second.seen]);
        }
    }
}

/// Until when a lease surely runs; None when that is not known.
fn surely_until(case: &Case<'_>, grant: &Grant) -> Option<Micros> {
    let mut until = grant.seen.from + case.surely_held(grant)?;
    let mine = || case.life.settles.iter().filter(|settle| settle.lease == grant.lease);
    let mut extensions: Vec<_> = mine()
        .filter_map(|settle| match settle.how {
            How::Extend(more) if settle.seen.may_have_happened() => Some((settle.seen, more)),
            _ => None,
        })
        .collect();
    extensions.sort_by_key(|(seen, _)| seen.from);
    let mut before: Micros = 0;
    for (seen, more) in extensions {
        let anew = seen.from + case.options.surely(more);
        // An extension starts the lease anew, which may end it sooner. It counts as gained only when it surely
        // came after those before it.
        let gained = seen.outcome == Outcome::Ok && before < seen.from;
        until = if gained { anew } else { until.min(anew) };
        before = before.max(seen.to);
    }
    let given_up =
        mine().filter(|settle| !matches!(settle.how, How::Extend(_)) && settle.seen.may_have_happened());
    let given_up = given_up.map(|settle| settle.seen.from).min();
    let ends = [given_up, case.closed_from(grant), case.topic.purged_from(grant.seen.from)];
    Some(ends.into_iter().flatten().fold(until, Micros::min))
}
