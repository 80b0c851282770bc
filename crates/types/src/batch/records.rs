//! Walking the records of a batch.

use super::varint::Cursor;
use super::{BatchError, RecordView};

/// The records of one batch, in order. It yields exactly as many as the header states, with offset deltas that rise up to
/// the one that the header states, or one error and then nothing; whatever the bytes are, it does not panic.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    cursor: Cursor<'a>,
    next: u32,
    count: u32,
    /// The lowest offset delta that the next record may have.
    delta_from: u32,
    last_delta: u32,
}

impl<'a> Records<'a> {
    pub(super) fn new(section: &'a [u8], count: u32, last_delta: u32) -> Self {
        Self { cursor: Cursor::new(section), next: 0, count, delta_from: 0, last_delta }
    }

    fn stop(&mut self) {
        self.next = self.count;
        self.cursor = Cursor::new(&[]);
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.count {
            let extra = self.cursor.rest().len();
            self.stop();
            return (extra > 0).then_some(Err(BatchError::TrailingBytes { extra }));
        }
        // Those that follow need a delta each; the last one has the last.
        let left = self.count - 1 - self.next;
        let delta_to = self.last_delta - left;
        let delta_from = if left == 0 { delta_to } else { self.delta_from };
        let record = RecordView::read(self.next, delta_from..=delta_to, &mut self.cursor);
        match &record {
            Ok(record) => {
                self.next += 1;
                self.delta_from = record.offset_delta + u32::from(left > 0);
            }
            Err(_) => self.stop(),
        }
        Some(record)
    }
}
