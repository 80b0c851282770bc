//! S2, promise P1. What is read was sent before, and not refused.

use super::book::Book;
use super::ops::Ops;
use super::values::Values;
use super::{ABORTED_READ, PHANTOM_READ};

/// Looks at every payload that a poll brought. Sends may stand behind the poll in the history, so this comes last.
pub(super) fn judge(topic: &str, values: &Values, ops: &Ops, book: &mut Book) {
    for entry in values.all() {
        let Some(polled) = entry.polled else { continue };
        let begun = |send| ops.of(send).from <= ops.of(polled).to;
        if entry.sent.is_some_and(begun) {
            continue;
        }
        let subject = entry.place().map_or_else(
            || entry.value.to_string(),
            |place| format!("partition {} offset {} ({})", place.partition, place.offset, entry.value),
        );
        if let Some(refused) = entry.refused.filter(|send| begun(*send)) {
            let text = "was read though its append was refused".to_owned();
            book.add(ABORTED_READ, (topic, subject), text, (ops, &[refused, polled]));
        } else if let Some(later) = entry.sent.or(entry.refused) {
            let text = "was read before it was sent".to_owned();
            book.add(PHANTOM_READ, (topic, subject), text, (ops, &[polled, later]));
        } else {
            let text = "was read though nobody sent it".to_owned();
            book.add(PHANTOM_READ, (topic, subject), text, (ops, &[polled]));
        }
    }
}
