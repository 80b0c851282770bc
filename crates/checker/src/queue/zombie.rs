//! Q8, promise P6. Once a later lease of a message was seen, whatever its earlier holder asks from then on is refused.

use super::case::Case;
use crate::Findings;

pub(super) fn judge(case: &Case<'_>, found: &mut Findings) {
    for settle in case.life.settles.iter().filter(|settle| settle.seen.is_ok()) {
        let superseded = case
            .life
            .grants
            .iter()
            .find(|grant| grant.lease > settle.lease && grant.seen.precedes(&settle.seen));
        if let Some(grant) = superseded {
            let text = format!(
                "{:?} under lease {} succeeded, though it began {} us after lease {} was seen",
                settle.how,
                settle.lease,
                settle.seen.from - grant.seen.to,
                grant.lease
            );
            case.violates(found, ("Q8", "zombie-settle"), text, &[&grant.seen, &settle.seen]);
        }
    }
}
