//! Q11, promise P7. A message whose attempts are used up is parked, once, not sooner, and stays so until an
//! administrator takes it out; one that was acked is not.

use super::case::Case;
use super::life::{Act, Look, Seen, Settle};
use crate::{Findings, How, MessageState};

const CHECK: &str = "Q11";

pub(super) fn judge(case: &Case<'_>, found: &mut Findings) {
    lost_move(case, found);
    for look in &case.life.looks {
        if look.times > 1 {
            let text = format!("one listing shows it {} times", look.times);
            case.violates(found, (CHECK, "parked-duplicate-move"), text, &[&look.seen]);
        }
        parked_after_ack(case, look, found);
        if look.seen.is_ok() {
            delivered_while_parked(case, look, found);
            early_move(case, look, found);
        }
    }
}

/// The last attempt failed, or a consumer rejected it, and in the end it is not parked.
fn lost_move(case: &Case<'_>, found: &mut Findings) {
    let Some((settle, end)) = parking_settle(case).zip(case.end()) else { return };
    let taken_out =
        [Act::Redrive, Act::Discard].iter().any(|act| case.life.may_have(*act, &settle.seen, &end.seen));
    let purged = case.topic.purged_from(settle.seen.from).is_some();
    let state = end.of(case.id);
    if settle.seen.precedes(&end.seen) && !taken_out && !purged && state != MessageState::Parked {
        let text = format!(
            "{:?} under lease {} ended its last attempt, and it is {state:?}",
            settle.how, settle.lease
        );
        case.violates(found, (CHECK, "parked-lost-move"), text, &[&settle.seen, &end.seen]);
    }
}

fn parking_settle<'a>(case: &Case<'a>) -> Option<&'a Settle> {
    case.life.settles.iter().filter(|settle| settle.seen.is_ok()).find(|settle| match settle.how {
        How::Reject => true,
        How::Nack => {
            let grant = case.life.grants.iter().find(|grant| grant.lease == settle.lease);
            grant.zip(case.queue.attempts_max).is_some_and(|(grant, max)| grant.attempt >= max)
        }
        _ => false,
    })
}

fn parked_after_ack(case: &Case<'_>, look: &Look, found: &mut Findings) {
    if let Some(acked) = case.life.acked().find(|acked| acked.seen.precedes(&look.seen)) {
        let text = format!("it is listed, though the ack of lease {} was acknowledged before", acked.lease);
        case.violates(found, (CHECK, "parked-after-ack"), text, &[&acked.seen, &look.seen]);
    }
}

fn delivered_while_parked(case: &Case<'_>, look: &Look, found: &mut Findings) {
    for grant in case.life.grants.iter().filter(|grant| look.seen.precedes(&grant.seen)) {
        if !case.life.may_have(Act::Redrive, &look.seen, &grant.seen) {
            let text = format!("lease {} was granted while it was parked", grant.lease);
            case.violates(found, (CHECK, "parked-duplicate-move"), text, &[&look.seen, &grant.seen]);
            return;
        }
    }
}

/// Nobody rejected it, and even if every lease that it had failed, those are fewer attempts than allowed.
fn early_move(case: &Case<'_>, look: &Look, found: &mut Findings) {
    let Some(max) = case.queue.attempts_max else { return };
    let mut before = case.life.settles.iter().filter(|settle| settle.seen.from <= look.seen.to);
    if before.any(|settle| settle.how == How::Reject && settle.seen.may_have_happened()) {
        return;
    }
    let leases = case.life.grants.iter().filter(|grant| grant.seen.from <= look.seen.to);
    let leases: Vec<&Seen> = leases.map(|grant| &grant.seen).collect();
    let unheard = case.topic.unheard_by(look.seen.to);
    if look.attempts < max || (!unheard && (leases.len() as u64) < u64::from(max)) {
        let text = format!(
            "it is parked after {} attempts of {max}, with {} leases seen",
            look.attempts,
            leases.len()
        );
        let evidence: Vec<&Seen> = leases.into_iter().chain([&look.seen]).collect();
        case.violates(found, (CHECK, "parked-early-move"), text, &evidence);
    }
}
