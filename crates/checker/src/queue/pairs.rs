//! Q15, promise P11. An ack and the append that goes with it happen together or not at all.

use super::case::Case;
use super::life::{Act, Seen, Settle};
use crate::{Findings, How, MessageState, Outcome};

const CHECK: &str = "Q15";

pub(super) fn judge(case: &Case<'_>, found: &mut Findings) {
    for settle in &case.life.settles {
        let Some((stream, value)) = settle.appended.as_deref() else { continue };
        let present = case.streams.first_seen(*value);
        let absent = case.streams.is_absent(stream, *value);
        let torn = match settle.seen.outcome {
            Outcome::Ok => torn_success(case, settle, absent),
            // Of several tries of one pair another one may have put the record there.
            Outcome::Fail if tried_again(case, settle) => None,
            Outcome::Fail => {
                present.map(|poll| ("the pair failed, and the record is there".to_owned(), *poll))
            }
            Outcome::Info => present
                .and_then(|poll| still_there(case, poll))
                .or_else(|| (absent && gone_by_this_alone(case, settle)).then(|| gone_without(case))),
        };
        if let Some((text, proof)) = torn {
            case.violates(found, (CHECK, "torn-pair"), format!("{text} ({value})"), &[&settle.seen, &proof]);
        }
    }
}

/// Whether another try of the same pair may have happened.
fn tried_again(case: &Case<'_>, pair: &Settle) -> bool {
    let same = |other: &&Settle| other.appended == pair.appended && other.seen.line != pair.seen.line;
    case.life.settles.iter().filter(same).any(|other| other.seen.may_have_happened())
}

fn torn_success(case: &Case<'_>, settle: &Settle, absent: bool) -> Option<(String, Seen)> {
    if absent {
        return Some(("the pair succeeded, and the record is not there".to_owned(), settle.seen));
    }
    let end = case.end().filter(|end| settle.seen.precedes(&end.seen))?;
    let state = end.of(case.id);
    let left = state != MessageState::Gone;
    left.then(|| (format!("the pair succeeded, and the message is {state:?}"), end.seen))
}

/// The record was seen, and the message came after that.
fn still_there(case: &Case<'_>, poll: &Seen) -> Option<(String, Seen)> {
    let text = "the record is there, and the message too".to_owned();
    if let Some(grant) = case.life.grants.iter().find(|grant| poll.precedes(&grant.seen)) {
        return Some((text, grant.seen));
    }
    let end = case.end().filter(|end| poll.precedes(&end.seen) && end.of(case.id) != MessageState::Gone)?;
    Some((text, end.seen))
}

/// The message is gone, and nothing else can have taken it away.
fn gone_by_this_alone(case: &Case<'_>, pair: &Settle) -> bool {
    let gone =
        case.end().is_some_and(|end| end.of(case.id) == MessageState::Gone && end.seen.from > pair.seen.from);
    let other_ack = case.life.settles.iter().any(|settle| {
        settle.how == How::Ack && settle.seen.line != pair.seen.line && settle.seen.may_have_happened()
    });
    let discarded = case.life.acts.iter().any(|(act, seen)| *act == Act::Discard && seen.may_have_happened());
    let expires = case.queue.ttl.is_some() || case.life.terms().is_some_and(|terms| terms.expires.is_some());
    gone && !other_ack && !discarded && !expires && !case.may_be_purged()
}

fn gone_without(case: &Case<'_>) -> (String, Seen) {
    let end = case.end().expect("the message is gone in the end");
    ("the message is gone, and the record is not there".to_owned(), end.seen)
}
