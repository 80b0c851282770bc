//! Walking the records of a batch.

use super::varint::Cursor;
use super::{BatchError, RecordView};

/// The records of one batch, in order. It yields exactly as many as the header states, each with the offset delta
/// that its place demands, or one error and then nothing; whatever the bytes are, it does not panic.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    cursor: Cursor<'a>,
    next: u32,
    count: u32,
}

impl<'a> Records<'a> {
    pub(super) fn new(section: &'a [u8], count: u32) -> Self {
        Self { cursor: Cursor::new(section), next: 0, count }
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
        let record = RecordView::read(self.next, &mut self.cursor);
        if record.is_ok() {
            self.next += 1;
        } else {
            self.stop();
        }
        Some(record)
    }
}
