//! Keys are fixed-width big-endian fields, so that they sort as numbers under plain byte order and need no
//! comparator of their own.

use weir_types::GroupId;

use crate::Error;

/// Builds a key field by field.
pub(crate) struct KeyWriter(Vec<u8>);

impl KeyWriter {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    #[must_use]
    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    #[must_use]
    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    #[must_use]
    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    #[must_use]
    pub(crate) fn bytes(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes a key or a value apart field by field.
pub(crate) struct KeyReader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> KeyReader<'a> {
    /// Reads `bytes`; `what` names the table in errors.
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, what }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| Error::Corrupt(format!("{}: cut short, {N} more bytes expected", self.what)))?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        Ok(u8::from_be_bytes(self.take()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.take()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_be_bytes(self.take()?))
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// The number of a group. The largest is none: its rows would have no end among the keys.
    pub(crate) fn group(&mut self) -> Result<GroupId, Error> {
        match self.u32()? {
            u32::MAX => Err(Error::Corrupt(format!("{}: there is no group {}", self.what, u32::MAX))),
            number => Ok(GroupId(number)),
        }
    }

    /// Ends the reading; bytes left over are corruption.
    pub(crate) fn end(self) -> Result<(), Error> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Error::Corrupt(format!("{}: {} bytes too many", self.what, self.rest.len())))
    }
}

/// The smallest key that is greater than every key with this prefix.
///
/// # Panics
/// When the prefix is all 0xff: no prefix of ours is, because each starts with a kind, a bucket or a group
/// below its type's maximum.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    panic!("prefix {prefix:02x?} has no end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_end_follows_every_key_with_the_prefix() {
        assert_eq!(prefix_end(&[1, 2]), [1, 3]);
        assert_eq!(prefix_end(&[1, 0xff]), [2]);
        assert!(prefix_end(&[1, 0xff]).as_slice() > [1, 0xff, 0xff, 0xff].as_slice());
    }

    #[test]
    fn the_largest_number_is_no_group() {
        assert!(matches!(KeyReader::new("test", &[0xff; 4]).group(), Err(Error::Corrupt(_))));
        assert_eq!(
            KeyReader::new("test", &[0xff, 0xff, 0xff, 0xfe]).group().ok(),
            Some(GroupId(u32::MAX - 1))
        );
    }

    #[test]
    fn a_key_with_bytes_left_over_is_corrupt() {
        let mut reader = KeyReader::new("test", &[0, 0, 0, 7, 1]);
        assert_eq!(reader.u32().ok(), Some(7));
        assert!(matches!(reader.end(), Err(Error::Corrupt(_))));
    }
}
