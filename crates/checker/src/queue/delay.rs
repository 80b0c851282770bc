//! Q13, promise P8. No message is delivered before its time; and none much later, where a bound was asked for.

use super::case::Case;
use crate::Findings;

const CHECK: &str = "Q13";

pub(super) fn judge(case: &Case<'_>, found: &mut Findings) {
    let Some((sent, due)) = case.life.sent.as_ref().zip(case.life.terms().and_then(|terms| terms.not_before))
    else {
        return;
    };
    let offset = case.options.clock_offset;
    for grant in case.life.grants.iter().filter(|grant| grant.seen.to < due.saturating_sub(offset)) {
        let text = format!("lease {} was seen {} us before it was due", grant.lease, due - grant.seen.to);
        case.violates(found, (CHECK, "early-delivery"), text, &[&sent.seen, &grant.seen]);
    }
    // The earliest to be seen, not the first in the order of leases: a receive may have stayed without an answer.
    let Some(late_after) = case.queue.late_after else { return };
    let latest = due.max(sent.seen.from).max(case.streams.healed()) + offset + late_after;
    let first = case.life.grants.iter().min_by_key(|grant| grant.seen.from);
    if let Some(grant) = first.filter(|grant| case.topic.granted_from(grant) > latest) {
        let text = format!("it was delivered {} us after it was due", grant.seen.from - due);
        case.violates(found, (CHECK, "late-delivery"), text, &[&sent.seen, &grant.seen]);
    }
}
