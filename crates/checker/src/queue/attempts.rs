//! Q10, promise P7. From one delivery to the next the attempt stays or rises by one, and never exceeds the limit. It
//! stays when the lease before it was released or its session closed; it starts anew after a redrive; it may leap
//! only when a receive was answered to nobody.

use super::case::Case;
use super::life::Act;
use crate::Findings;

const CHECK: &str = "Q10";

pub(super) fn judge(case: &Case<'_>, found: &mut Findings) {
    let grants = &case.life.grants;
    for (place, grant) in grants.iter().enumerate() {
        let attempt = grant.attempt;
        if let Some(max) = case.queue.attempts_max.filter(|max| attempt > *max) {
            let text = format!("lease {} is attempt {attempt} of {max}", grant.lease);
            case.violates(found, (CHECK, "attempts-exceeded"), text, &[&grant.seen]);
        }
        let before = place.checked_sub(1).map(|before| &grants[before]).filter(|it| it.lease < grant.lease);
        let anew = before.is_some_and(|before| case.life.may_have(Act::Redrive, &before.seen, &grant.seen));
        if let Some(before) = before.filter(|before| !anew && attempt < before.attempt) {
            let text = format!(
                "lease {} is attempt {attempt}, though lease {} before it was attempt {}",
                grant.lease, before.lease, before.attempt
            );
            case.violates(found, (CHECK, "attempt-regress"), text, &[&before.seen, &grant.seen]);
        }
        let counted = before.map_or(0, |before| before.attempt);
        let unheard = case.topic.unheard_by(grant.seen.to);
        if attempt > counted + 1 && !anew && !unheard {
            let seen = before.map_or(&grant.seen, |before| &before.seen);
            let text = format!(
                "lease {} is attempt {attempt} after attempt {counted}, and every receive was heard of",
                grant.lease
            );
            case.violates(found, (CHECK, "attempt-skip"), text, &[seen, &grant.seen]);
        }
    }
}
