//! Q17, promise P8. What was in the queue before a purge, what was discarded and what was called off is not delivered
//! afterwards.

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
    for (wanted, name) in [(Act::Discard, "delivered-after-discard"), (Act::Cancel, "delivered-after-cancel")]
    {
        let done = case.life.acts.iter().filter(|(act, seen)| *act == wanted && seen.is_ok());
        if let Some((_, gone)) = done.min_by_key(|(_, seen)| seen.to) {
            delivered_after(case, gone, name, found);
        }
    }
}

fn delivered_after(case: &Case<'_>, gone: &Seen, name: &str, found: &mut Findings) {
    for grant in case.life.grants.iter().filter(|grant| gone.precedes(&grant.seen)) {
        let text = format!("lease {} was granted {} us later", grant.lease, grant.seen.from - gone.to);
        case.violates(found, (CHECK, name), text, &[gone, &grant.seen]);
    }
}
