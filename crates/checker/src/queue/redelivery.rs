//! Q6, promise P2. After an ack was acknowledged, no receive that begins later brings the message. Leases are in the order
//! of their grants, so one above the acked one was granted after the ack too, whenever its receive began.

use super::case::Case;
use crate::Findings;

pub(super) fn judge(case: &Case<'_>, found: &mut Findings) {
    let Some(acked) = case.life.acked().min_by_key(|settle| settle.seen.to) else { return };
    let Some(lowest) = case.life.acked().min_by_key(|settle| settle.lease) else { return };
    for grant in &case.life.grants {
        if acked.seen.precedes(&grant.seen) {
            let text = format!(
                "lease {} was granted {} us after the ack of lease {} was acknowledged",
                grant.lease,
                grant.seen.from - acked.seen.to,
                acked.lease
            );
            case.violates(found, ("Q6", "redelivery-after-ack"), text, &[&acked.seen, &grant.seen]);
        } else if grant.lease > lowest.lease {
            let text = format!(
                "lease {} was granted, though the ack of lease {} before it was acknowledged",
                grant.lease, lowest.lease
            );
            case.violates(found, ("Q6", "redelivery-after-ack"), text, &[&lowest.seen, &grant.seen]);
        }
    }
}
