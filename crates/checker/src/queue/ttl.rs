//! Q16, promise P8. No message is delivered after its time, and none vanishes before. A redrive starts its time anew,
//! as the queue has it.

use super::case::Case;
use super::life::Act;
use crate::{Findings, MessageState, Micros};

const CHECK: &str = "Q16";

pub(super) fn judge(case: &Case<'_>, found: &mut Findings) {
    let Some(sent) = &case.life.sent else { return };
    let own = case.life.terms().and_then(|terms| terms.expires);
    let of_queue = |from: Micros| case.queue.ttl.map(|ttl| from.saturating_add(ttl));
    let offset = case.options.clock_offset;
    if let Some(last) = own.or_else(|| of_queue(sent.seen.to)).map(|last| last.saturating_add(offset)) {
        for grant in case.life.grants.iter().filter(|grant| case.topic.granted_from(grant) > last) {
            if !case.life.may_have(Act::Redrive, &sent.seen, &grant.seen) {
                let text =
                    format!("lease {} was granted {} us after its time", grant.lease, grant.seen.from - last);
                case.violates(found, (CHECK, "delivered-expired"), text, &[&sent.seen, &grant.seen]);
            }
        }
    }
    let Some((expires, end)) = own.or_else(|| of_queue(sent.seen.from)).zip(case.end()) else { return };
    let untouched = case.life.grants.is_empty() && case.life.acts.is_empty() && !case.may_be_purged();
    let too_early = end.seen.to < expires.saturating_sub(offset) && sent.seen.precedes(&end.seen);
    if sent.seen.is_ok() && untouched && too_early && end.of(case.id) == MessageState::Gone {
        let text = format!("it is gone {} us before its time, and nobody had it", expires - end.seen.to);
        case.violates(found, (CHECK, "expired-early"), text, &[&sent.seen, &end.seen]);
    }
}
