//! Q3, by message. A message has one payload for ever: the one that was acknowledged under its id.

use super::case::Case;
use super::life::Seen;
use crate::{Findings, Value};

const CHECK: &str = "Q3";

pub(super) fn judge(case: &Case<'_>, found: &mut Findings) {
    let granted = case.life.grants.iter().map(|grant| (&grant.seen, grant.value));
    let looked = case.life.looks.iter().map(|look| (&look.seen, look.value));
    let mut first: Option<(&Seen, Value)> = case.life.sent.as_ref().map(|sent| (&sent.seen, sent.value));
    for (seen, value) in granted.chain(looked) {
        let Some(value) = value else {
            let text = "it came with a payload that nobody made".to_owned();
            case.violates(found, (CHECK, "corrupt-payload"), text, &[seen]);
            continue;
        };
        let (before, expected) = *first.get_or_insert((seen, value));
        if expected != value {
            let text = format!("it came with payload {value}, and it is {expected}");
            case.violates(found, (CHECK, "wrong-payload"), text, &[before, seen]);
        }
    }
}
