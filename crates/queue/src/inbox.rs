//! What came from other partitions, by number alone.

use serde::{Deserialize, Serialize};
use weir_types::{RowChange, TransferSequence, TransferSource};

use crate::table::Table;

/// The last batch that was taken in from a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) through: TransferSequence,
}

/// The sources that have sent something. Each is remembered for good, so that a batch is taken in once, however late
/// it is repeated (P11); there are as many as partitions that ever sent here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Inbox {
    sources: Table<Source>,
}

impl Inbox {
    pub(crate) fn restored(sources: Table<Source>) -> Self {
        Self { sources }
    }

    /// The last batch taken in; 0 for none.
    pub(crate) fn through(&self, source: TransferSource) -> TransferSequence {
        self.sources.get(source).map_or(TransferSequence(0), |known| known.through)
    }

    pub(crate) fn advance(&mut self, source: TransferSource, through: TransferSequence) {
        self.sources.put(source, Source { through });
    }

    /// How far what streams feed has come. Their numbers are offsets, which are the same for every partition; those of an
    /// outbox are this partition's alone, and mean nothing to another one.
    pub(crate) fn feeds(&self) -> impl Iterator<Item = (TransferSource, TransferSequence)> {
        let feeds = self.sources.iter().filter(|(source, _)| *source != TransferSource::outbox(source.group));
        feeds.map(|(source, known)| (source, known.through))
    }

    pub(crate) fn entries(&self) -> usize {
        self.sources.len()
    }

    pub(crate) fn flush(&mut self, changes: &mut Vec<RowChange>) {
        self.sources.flush(changes);
    }

    pub(crate) fn check(&self) {
        assert!(self.sources.is_flushed(), "source rows left to write");
    }
}
