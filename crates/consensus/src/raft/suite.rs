//! openraft's own storage suite, on both engines.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{OptionalSend, RaftSnapshotBuilder, StorageError};
use tempfile::TempDir;
use weir_storage::{LogClass, MemoryDisk, Options, Store};
use weir_types::{Corrupt, GroupId, LogIndex, ReplicaId, Row, RowChange};

use super::applier::SnapshotBuilder;
use super::{
    Applier, ConsensusRows, LogId, LogStore, Shared, SnapshotMeta, StoredMembership, TypeConfig,
    TypedMachine, with_seed,
};
use crate::snapshot::{Received, SnapshotHandle};
use crate::{EntryPosition, Limits, Machine};

struct Nothing;

impl Machine for Nothing {
    type Reply = ();

    fn restore(_: Vec<Row>) -> Result<Self, Corrupt> {
        Ok(Self)
    }

    fn apply(&mut self, _: EntryPosition, _: &Bytes, _: &mut Vec<RowChange>) -> Result<(), Corrupt> {
        Ok(())
    }

    fn retained_from(&self) -> LogIndex {
        LogIndex(0)
    }
}

type Snapshot = openraft::alias::SnapshotOf<TypeConfig, Carried>;

/// The suite moves a snapshot from one state machine to another without a network: it carries the way to the
/// sender's store with it.
struct Carried(Arc<Shared>);

struct Carrier {
    applier: Applier,
    shared: Arc<Shared>,
}

struct CarrierBuilder {
    builder: SnapshotBuilder,
    shared: Arc<Shared>,
}

impl RaftSnapshotBuilder<TypeConfig> for CarrierBuilder {
    type SnapshotData = Carried;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let built = self.builder.build_snapshot().await?;
        Ok(Snapshot { meta: built.meta, snapshot: Carried(Arc::clone(&self.shared)) })
    }
}

impl RaftStateMachine<TypeConfig> for Carrier {
    type SnapshotData = Carried;
    type SnapshotBuilder = CarrierBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        self.applier.applied_state().await
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        self.applier.apply(entries).await
    }

    async fn get_snapshot_builder(&mut self) -> CarrierBuilder {
        let builder = self.applier.get_snapshot_builder().await;
        CarrierBuilder { builder, shared: Arc::clone(&self.shared) }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, carried: Carried) -> Result<(), io::Error> {
        let mut export = carried.0.store.export(0..0).await.map_err(io::Error::other)?;
        let mut import = self.shared.store.begin_import().await.map_err(io::Error::other)?;
        while let Some(chunk) = export.next_chunk(1 << 10).await.map_err(io::Error::other)? {
            import.chunk(chunk).await.map_err(io::Error::other)?;
        }
        let import = import.finish().map_err(io::Error::other)?;
        let received = Received { import, retained_from: LogIndex(0) };
        self.applier.install_snapshot(meta, SnapshotHandle::Received(Box::new(received))).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let current = self.applier.get_current_snapshot().await?;
        Ok(current
            .map(|current| Snapshot { meta: current.meta, snapshot: Carried(Arc::clone(&self.shared)) }))
    }
}

struct Builder {
    rocks: bool,
}

impl StoreBuilder<TypeConfig, LogStore, Carrier, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Carrier), StorageError<TypeConfig>> {
        let directory = TempDir::new().unwrap();
        let mut options = Options::memory(MemoryDisk::new());
        if self.rocks {
            options = Options::rocks(directory.path());
            options.free_bytes_min = 0;
        }
        let (store, _) = Store::start(options).await.unwrap();
        let machine = Arc::new(TypedMachine::new(Nothing, Box::new(|_| Ok(Nothing))));
        let shared = Arc::new(Shared::new(
            (GroupId(1), ReplicaId(0)),
            store.group(GroupId(1), LogClass::Queue),
            machine,
            &Limits::default(),
            ConsensusRows::default(),
        ));
        let log = LogStore::open(Arc::clone(&shared)).await.unwrap();
        let carrier = Carrier { applier: Applier::new(Arc::clone(&shared)), shared };
        Ok((directory, log, carrier))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openrafts_storage_suite_passes_on_the_memory_engine() {
    Box::pin(with_seed(1, Suite::test_all(Builder { rocks: false }))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openrafts_storage_suite_passes_on_rocksdb() {
    Box::pin(with_seed(1, Suite::test_all(Builder { rocks: true }))).await.unwrap();
}
