//! Taking a snapshot in: staged where nobody sees it, verified, then installed or left to be cleared away.

use bytes::Bytes;
use tokio::sync::oneshot;
use weir_types::LogIndex;

use crate::catalog::Generation;
use crate::edits::stage::Part;
use crate::op::Op;
use crate::snapshot::format::{Decoder, Frame, Header};
use crate::{Error, GroupStore};

/// A snapshot on its way in.
pub struct Import {
    staging: Staging,
    decoder: Decoder,
}

/// A snapshot that came whole and verified, ready for [`GroupStore::install`].
pub struct ImportReady {
    staging: Staging,
    ends: Option<(LogIndex, LogIndex)>,
}

/// What is staged; cleared away when dropped, unless installed.
struct Staging {
    group: GroupStore,
    generation: Option<Generation>,
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Some(generation) = self.generation.take() {
            self.group.abort_import(generation);
        }
    }
}

impl Import {
    pub(crate) async fn begin(group: GroupStore) -> Result<Self, Error> {
        let (reply, answer) = oneshot::channel();
        let id = group.id();
        group.queue(Op::BeginImport { group: id, reply }).await?;
        let generation = answer.await.map_err(|_| Error::Closed)??;
        Ok(Self { staging: Staging { group, generation: Some(generation) }, decoder: Decoder::default() })
    }

    /// Takes the next bytes of the export, in order; returns when there is room for more.
    ///
    /// # Errors
    /// [`Error::SnapshotInvalid`] when the bytes are not a snapshot of this group: drop the import and start over.
    pub async fn chunk(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.decoder.feed(&bytes);
        let mut part = Part::default();
        while let Some(frame) = self.decoder.next()? {
            match frame {
                Frame::Header(header) => self.check_header(&header)?,
                Frame::Row(row) => part.rows.push(row),
                Frame::Entry(record) => part.records.push(record),
                Frame::Trailer => {}
            }
        }
        if part.rows.is_empty() && part.records.is_empty() {
            return Ok(());
        }
        let group = &self.staging.group;
        let generation = self.staging.generation.expect("an import keeps its generation until it is ready");
        group.queue(Op::Stage { group: group.id(), generation, class: group.class(), part }).await
    }

    fn check_header(&self, header: &Header) -> Result<(), Error> {
        let group = &self.staging.group;
        if (header.group, header.class) == (group.id(), group.class()) {
            return Ok(());
        }
        Err(Error::SnapshotInvalid(format!(
            "it is of group {} ({:?}), not of group {} ({:?})",
            header.group,
            header.class,
            group.id(),
            group.class()
        )))
    }

    /// Ends the import.
    ///
    /// # Errors
    /// [`Error::SnapshotInvalid`] when bytes are missing; wrong counts and checksums were refused by
    /// [`Self::chunk`].
    pub fn finish(self) -> Result<ImportReady, Error> {
        let Some(header) = self.decoder.header().filter(|_| self.decoder.is_complete()) else {
            return Err(Error::SnapshotInvalid("it ends before its trailer".to_owned()));
        };
        let log = &header.log;
        let ends = (!log.is_empty()).then(|| (LogIndex(log.start), LogIndex(log.end - 1)));
        Ok(ImportReady { staging: self.staging, ends })
    }
}

impl ImportReady {
    /// First and last index of the log it brings; none when it brings none.
    pub fn log_ends(&self) -> Option<(LogIndex, LogIndex)> {
        self.ends
    }

    /// Hands the staged data over to the installation.
    pub(crate) fn take(mut self) -> (Generation, Option<(LogIndex, LogIndex)>) {
        let generation = self.staging.generation.take().expect("only an installation takes it, once");
        (generation, self.ends)
    }
}
