//! Random histories against a model that is a map: after every restart the store holds what the model holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::*;
use crate::evacuate;

/// One step of a history. Numbers are taken modulo what is possible, so that every history is a valid one.
#[derive(Clone, Debug)]
enum Step {
    Append {
        count: u64,
    },
    Truncate {
        back: u64,
    },
    Retire {
        forward: u64,
    },
    Row {
        key: u8,
        value: Option<u8>,
    },
    Snapshot {
        forward: u64,
    },
    Destroy,
    /// Every bucket that is no longer filled is emptied into another one; only where there are threads for it.
    Evacuate,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..12u64).prop_map(|count| Step::Append { count }),
        3 => (0..30u64).prop_map(|back| Step::Truncate { back }),
        3 => (0..40u64).prop_map(|forward| Step::Retire { forward }),
        3 => (0..5u8, proptest::option::of(any::<u8>())).prop_map(|(key, value)| Step::Row { key, value }),
        1 => (0..40u64).prop_map(|forward| Step::Snapshot { forward }),
        1 => Just(Step::Destroy),
        2 => Just(Step::Evacuate),
        1 => Just(Step::Restart),
    ]
}

/// What a group must hold.
#[derive(Clone, Default)]
struct Model {
    log: BTreeMap<u64, u64>,
    /// Retired, but of a queue perhaps still there after a restart.
    retired: BTreeMap<u64, u64>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    next: u64,
    term: u64,
}

impl Model {
    /// The first index that `forward` entries are before.
    fn ahead(&self, forward: u64) -> u64 {
        self.log.keys().next().map_or(self.next, |first| (first + forward).min(self.next))
    }

    fn log_range(&self, from: u64) -> std::ops::Range<u64> {
        self.log.range(from..).next().map_or(0..0, |(first, _)| *first..self.next)
    }

    async fn check(&self, group: &GroupStore) {
        let state = group.load().await.unwrap();
        let last = state.last.map(|last| (last.index.0, last.term.0));
        assert_eq!(last, self.log.last_key_value().map(|(index, term)| (*index, *term)));
        if let Some((first, _)) = self.log.first_key_value() {
            let expected: Vec<_> = self.log.iter().map(|(index, term)| record(*index, *term)).collect();
            assert_eq!(read_from(group, *first).await, expected);
        }
        let rows = group.rows().await.unwrap();
        let found: BTreeMap<_, _> = rows.into_iter().map(|row| (row.key, row.value)).collect();
        assert_eq!(found, self.rows);
    }

    /// After a restart a queue's log may begin with entries that were retired and not yet deleted.
    async fn take_back_retired(&mut self, group: &GroupStore) {
        let first = group.load().await.unwrap().first.map(|first| first.index.0);
        if let Some(first) = first.filter(|_| group.class() == LogClass::Queue) {
            self.log.append(&mut self.retired.split_off(&first));
        }
        self.retired.clear();
    }

    async fn take(&mut self, step: &Step, group: &GroupStore) {
        match step {
            Step::Append { count } => {
                self.term += 1;
                append(group, records(self.next..self.next + count, self.term)).await;
                self.log.extend((self.next..self.next + count).map(|index| (index, self.term)));
                self.next += count;
            }
            Step::Truncate { back } => {
                let first = self.log.keys().next().copied().unwrap_or(self.next);
                self.next = self.next.saturating_sub(*back).max(first);
                group.truncate_after(self.next.checked_sub(1).map(LogIndex)).await.unwrap();
                self.log.split_off(&self.next);
            }
            Step::Retire { forward } => {
                let before = self.ahead(*forward);
                group.retire_before(LogIndex(before)).await.unwrap();
                let kept = self.log.split_off(&before);
                self.retired.append(&mut self.log);
                self.log = kept;
            }
            Step::Row { key, value } => {
                let change = RowChange { key: vec![*key], value: value.map(|value| vec![value]) };
                group.write_rows(vec![change]).await.unwrap();
                match value {
                    Some(value) => drop(self.rows.insert(vec![*key], vec![*value])),
                    None => drop(self.rows.remove([*key].as_slice())),
                }
            }
            Step::Snapshot { forward } => self.snapshot(self.ahead(*forward), group).await,
            Step::Destroy => {
                group.destroy().await.unwrap();
                *self = Self { term: self.term, next: 1, ..Self::default() };
            }
            Step::Evacuate | Step::Restart => {}
        }
    }

    /// Exports the group from an index on, lets it go on, and installs what was exported.
    async fn snapshot(&mut self, from: u64, group: &GroupStore) {
        // A group that was never written, or destroyed, has nothing to export.
        group.write_rows(vec![RowChange::delete(b"none".to_vec())]).await.unwrap();
        let mut export = group.export(self.log_range(from)).await.unwrap();
        let before = self.clone();
        Box::pin(self.take(&Step::Append { count: 9 }, group)).await;
        Box::pin(self.take(&Step::Retire { forward: 15 }, group)).await;
        let mut import = group.begin_import().await.unwrap();
        while let Some(chunk) = export.next_chunk(333).await.unwrap() {
            import.chunk(chunk).await.unwrap();
        }
        group.install(import.finish().unwrap(), Vec::new(), Bytes::new()).await.unwrap();
        let log = before.log.clone().split_off(&from);
        *self = Self { log, term: self.term, ..before };
    }
}

async fn evacuate_all(store: &Store) {
    let (catalog, inbox) = (Arc::clone(&store.inner.catalog), Arc::clone(&store.inner.inbox));
    let evacuated = store.inner.pool.run(move |engine| {
        let buckets = {
            let catalog = catalog.lock();
            let current = catalog.buckets.current();
            let segments = catalog.groups.values().flat_map(|group| group.segments.clone());
            segments.map(|segment| segment.bucket).filter(|at| Some(*at) != current).collect::<BTreeSet<_>>()
        };
        buckets.into_iter().try_for_each(|bucket| evacuate::evacuate(engine, &catalog, &inbox, bucket))
    });
    evacuated.await.unwrap();
}

async fn live_through(disk: Disk, steps: Vec<Step>) {
    let mut store = disk.open().await;
    let fresh = Model { next: 1, ..Model::default() };
    let mut models = [fresh.clone(), fresh];
    for (at, step) in steps.iter().enumerate() {
        for (class, model) in BOTH_CLASSES.into_iter().zip(&mut models) {
            let group = store.group(GroupId(class as u32), class);
            model.take(step, &group).await;
            if at % 3 == 0 {
                model.check(&group).await;
            }
        }
        if matches!((step, &disk), (Step::Evacuate, Disk::Rocks(_))) {
            evacuate_all(&store).await;
        }
        if matches!(step, Step::Restart) {
            // So that what is not synced is not expected to be lost either.
            store.node_rows().put(b"sync", b"").await.unwrap();
            store = disk.restart(store).await;
            for (class, model) in BOTH_CLASSES.into_iter().zip(&mut models) {
                let group = store.group(GroupId(class as u32), class);
                model.take_back_retired(&group).await;
                model.check(&group).await;
            }
        }
    }
    store.close().await;
}

fn run(cases: u32, disk: impl Fn() -> Disk) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let histories = proptest::collection::vec(step(), 1..60);
    let outcome = TestRunner::new(config).run(&histories, |steps| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(live_through(disk(), steps));
        Ok::<(), TestCaseError>(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn any_history_in_memory_equals_the_model() {
    run(150, Disk::memory);
}

#[test]
fn any_history_on_disk_equals_the_model() {
    run(20, Disk::rocks);
}
