//! Q3, Q4 and Q5, promises P1 and P10. What is delivered was sent, was not refused, and is one message.

use super::case::anomaly;
use super::values::Payloads;
use crate::{Findings, Outcome};

pub(super) fn judge(
    payloads: &Payloads,
    phantom: &mut Findings,
    dirty: &mut Findings,
    duplicate: &mut Findings,
) {
    for (value, fate) in &payloads.fates {
        let about = || (payloads.name.as_str(), value.to_string());
        if let Some(((one, first), (other, second))) = fate.seen.zip(fate.again) {
            let text = format!("messages {one} and {other} both carry it, and it was sent once");
            let anomaly = anomaly(("Q5", "duplicate-enqueue"), about(), text, &[&first, &second]);
            duplicate.add(anomaly);
        }
        let Some(delivered) = fate.delivered else { continue };
        match fate.sent {
            None => {
                let text = "it was delivered, and nobody sent it".to_owned();
                phantom.add(anomaly(("Q3", "phantom"), about(), text, &[&delivered]));
            }
            Some(sent) if delivered.precedes(&sent.seen) => {
                let text =
                    format!("it was delivered {} us before it was sent", sent.seen.from - delivered.to);
                phantom.add(anomaly(("Q3", "phantom"), about(), text, &[&delivered, &sent.seen]));
            }
            Some(sent) if sent.seen.outcome == Outcome::Fail => {
                let text = "it was delivered, and its producer was told that it was not taken".to_owned();
                dirty.add(anomaly(("Q4", "dirty-delivery"), about(), text, &[&sent.seen, &delivered]));
            }
            Some(_) => {}
        }
    }
}
