//! Arbitrary bytes as the parameters of a law.

use weir_types::Row;

/// Takes parameters off the front of arbitrary bytes; where they end, zeros follow.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    pub(crate) fn u64(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.u8()))
    }

    /// At most `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        head
    }

    /// Bytes with their length before them.
    pub(crate) fn sized(&mut self) -> &'a [u8] {
        let length = self.u8();
        self.take(length.into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// All that is left, as rows: key and value, each with its length before it.
    pub(crate) fn rows(mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        while !self.is_empty() {
            rows.push(Row { key: self.sized().to_vec(), value: self.sized().to_vec() });
        }
        rows
    }
}

/// Rows as [`Input::rows`] reads them; none that is too long for it.
pub(crate) fn rows_as_input<'a>(rows: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in
        rows.into_iter().filter(|(key, value)| key.len().max(value.len()) <= 255).flat_map(|(k, v)| [k, v])
    {
        bytes.push(part.len() as u8);
        bytes.extend_from_slice(part);
    }
    bytes
}
