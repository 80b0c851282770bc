//! What came from other partitions, by number alone.

use std::collections::BTreeMap;

use weir_types::{RowChange, TransferSequence, TransferSource};

use crate::rows::{self, Key};

/// The last batch that was taken in from each source. Each is remembered for good, so that a batch is taken in once,
/// however late it is repeated (P11); there are as many as partitions that ever sent here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inbox {
    sources: BTreeMap<TransferSource, TransferSequence>,
}

impl Inbox {
    /// The last batch taken in; 0 for none.
    pub(crate) fn through(&self, source: TransferSource) -> TransferSequence {
        self.sources.get(&source).copied().unwrap_or_default()
    }

    pub(crate) fn advance(
        &mut self,
        source: TransferSource,
        through: TransferSequence,
        changes: &mut Vec<RowChange>,
    ) {
        self.sources.insert(source, through);
        rows::put_again(changes, rows::put(&Key::Source(source), &through));
    }

    pub(crate) fn restore(&mut self, source: TransferSource, through: TransferSequence) {
        self.sources.insert(source, through);
    }

    /// All rows, in order of source.
    pub(crate) fn rows(&self) -> Vec<RowChange> {
        self.sources.iter().map(|(source, through)| rows::put(&Key::Source(*source), through)).collect()
    }
}
