//! Q9, promise P5. Lease ids are fencing tokens: they rise strictly from one grant of a message to the next, and from
//! one grant of a FIFO key to the next, whatever node leads.

use std::collections::BTreeMap;

use super::Whole;
use super::case::{Case, anomaly};
use super::life::{Grant, successions};
use crate::{Findings, MessageId};

const CHECK: &str = "Q9";

pub(super) fn judge(case: &Case<'_>, found: &mut Findings) {
    let granted: Vec<(MessageId, &Grant)> = case.life.grants.iter().map(|grant| (case.id, grant)).collect();
    for [(_, before), (_, next)] in successions(&granted) {
        if next.lease <= before.lease {
            let text = format!("lease {} was granted after lease {}", next.lease, before.lease);
            case.violates(found, (CHECK, "lease-token-regress"), text, &[&before.seen, &next.seen]);
        }
    }
}

pub(super) fn judge_keys(whole: &Whole<'_>, found: &mut Findings) {
    let mut keys: BTreeMap<&str, Vec<(MessageId, &Grant)>> = BTreeMap::new();
    for (id, life) in whole.partition {
        let Some(key) = life.key() else { continue };
        let id = MessageId { partition: whole.number, id: *id };
        keys.entry(key).or_default().extend(life.grants.iter().map(|grant| (id, grant)));
    }
    for (key, granted) in keys {
        for [(one, before), (other, next)] in successions(&granted) {
            // Of a single message `judge` says so; and a grant that may be older than its receive proves nothing.
            let sure = whole.topic.granted_from(next) > before.seen.to;
            if sure && next.lease <= before.lease && one != other {
                let text =
                    format!("lease {} of {other} came after lease {} of {one}", next.lease, before.lease);
                let about = (whole.name, format!("key {key}"));
                found.add(anomaly((CHECK, "key-token-regress"), about, text, &[&before.seen, &next.seen]));
            }
        }
    }
}
