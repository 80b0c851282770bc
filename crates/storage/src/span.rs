//! Where a group's log begins and ends, as of everything asked for so far: the log writer may not be there yet.

use parking_lot::Mutex;
use weir_types::{GroupId, LogIndex};

use crate::{Error, LogRecord};

/// First and last index of a log that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: LogIndex,
    pub(crate) last: LogIndex,
}

/// One group's span, shared by all its handles. Its lock also orders the group's operations: it is held while one
/// enters the inbox.
#[derive(Default)]
pub(crate) struct Front(pub(crate) Mutex<Known>);

/// What is known of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// There are no entries; what may still lie on disk before this index is retired.
    Empty(LogIndex),
    /// There are.
    Span(Span),
}

impl Known {
    pub(crate) fn span(self) -> Option<Span> {
        match self {
            Self::Span(span) => Some(span),
            Self::Unknown | Self::Empty(_) => None,
        }
    }

    /// Where the log begins, or would.
    pub(crate) fn first(self) -> LogIndex {
        match self {
            Self::Unknown => LogIndex(0),
            Self::Empty(first) => first,
            Self::Span(span) => span.first,
        }
    }

    pub(crate) fn from_ends(ends: Option<(LogIndex, LogIndex)>) -> Self {
        ends.map_or(Self::Empty(LogIndex(0)), |(first, last)| Self::Span(Span { first, last }))
    }

    /// The span after an append; an error when it leaves a gap or overlaps.
    pub(crate) fn appended(self, group: GroupId, records: &[LogRecord]) -> Result<Self, Error> {
        let Some(start) = records.first().map(|record| record.index) else { return Ok(self) };
        let span = self.span();
        let mut expected = span.map_or(start, |span| span.last.next());
        for record in records {
            if record.index != expected {
                return Err(Error::NotContiguous { group, expected, found: record.index });
            }
            expected = expected.next();
        }
        let first = span.map_or(start, |span| span.first);
        Ok(Self::Span(Span { first, last: LogIndex(expected.0 - 1) }))
    }

    /// The span without the entries from `from` on.
    pub(crate) fn truncated(self, from: LogIndex) -> Self {
        match self.span() {
            Some(span) if span.first < from => {
                Self::Span(Span { last: span.last.min(LogIndex(from.0 - 1)), ..span })
            }
            Some(span) => Self::Empty(span.first),
            None => self,
        }
    }

    /// The span without the entries before `before`.
    pub(crate) fn retired(self, before: LogIndex) -> Self {
        match self.span() {
            Some(span) if before <= span.last => Self::Span(Span { first: span.first.max(before), ..span }),
            Some(_) => Self::Empty(before),
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_types::Term;

    use super::*;

    fn known(first: u64, last: u64) -> Known {
        Known::from_ends(Some((LogIndex(first), LogIndex(last))))
    }

    fn records(indexes: &[u64]) -> Vec<LogRecord> {
        let record =
            |index| LogRecord { index: LogIndex(index), term: Term(1), kind: 0, payload: Bytes::new() };
        indexes.iter().copied().map(record).collect()
    }

    #[test]
    fn an_append_continues_the_log_or_is_refused() {
        let group = GroupId(1);
        assert_eq!(Known::Empty(LogIndex(0)).appended(group, &records(&[5, 6])).ok(), Some(known(5, 6)));
        assert_eq!(known(5, 6).appended(group, &records(&[7])).ok(), Some(known(5, 7)));
        for wrong in [[8, 9], [6, 7], [7, 9]] {
            let refused = known(5, 6).appended(group, &records(&wrong));
            assert!(matches!(refused, Err(Error::NotContiguous { .. })));
        }
    }

    #[test]
    fn truncation_and_retirement_take_from_the_ends() {
        assert_eq!(known(5, 9).truncated(LogIndex(7)), known(5, 6));
        assert_eq!(known(5, 9).truncated(LogIndex(20)), known(5, 9));
        assert_eq!(known(5, 9).truncated(LogIndex(5)), Known::Empty(LogIndex(5)));
        assert_eq!(known(5, 9).retired(LogIndex(7)), known(7, 9));
        assert_eq!(known(5, 9).retired(LogIndex(2)), known(5, 9));
        assert_eq!(known(5, 9).retired(LogIndex(10)), Known::Empty(LogIndex(10)));
    }
}
