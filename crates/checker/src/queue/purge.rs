//! Q17, promise P8. What was in the queue before a purge, and what was discarded, is not delivered afterwards.

use super::case::Case;
use super::life::{Act, Seen};
use crate::Findings;

const CHECK: &str = "Q17";

pub(super) fn judge(case: &Case<'_>, found: &mut Findings) {
    if let Some(sent) = case.life.sent.as_ref().filter(|sent| sent.seen.is_ok()) {
        let purges = case.topic.purges.iter().filter(|purge| purge.is_ok() && sent.seen.precedes(purge));
        if let Some(purge) = purges.min_by_key(|purge| purge.to) {
            delivered_after(case, purge, "delivered-after-purge", found);
        }
    }
    let discards = case.life.acts.iter().filter(|(act, seen)| *act == Act::Discard && seen.is_ok());
    if let Some((_, discard)) = discards.min_by_key(|(_, seen)| seen.to) {
        delivered_after(case, discard, "delivered-after-discard", found);
    }
}

fn delivered_after(case: &Case<'_>, gone: &Seen, name: &str, found: &mut Findings) {
    for grant in case.life.grants.iter().filter(|grant| gone.precedes(&grant.seen)) {
        let text = format!("lease {} was granted {} us later", grant.lease, grant.seen.from - gone.to);
        case.violates(found, (CHECK, name), text, &[gone, &grant.seen]);
    }
}
