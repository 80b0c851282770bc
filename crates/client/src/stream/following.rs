//! The task that starts the reading of each partition when it is its turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_runtime::TaskGroup;
use weir_types::GroupId;

use super::lineage::Lineage;
use super::{Credit, Ending, Event, Origin, PartitionReader, Source};
use crate::call::Core;
use crate::routing::{PartitionRoute, RoutingTable, TopicRoute};

/// Endings on their way; readers that have come to their end wait.
const ENDINGS_QUEUED_MAX: usize = 16;

/// Where reading a partition begins, and where it stops, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) position: u64,
    pub(crate) end: Option<u64>,
}

/// The partitions of one stream, as one reader goes through them.
pub(crate) struct Following {
    pub(crate) core: Arc<Core>,
    pub(crate) topic: Arc<TopicRoute>,
    /// Whether partitions that come of a split or a merge later are read too.
    pub(crate) follows: bool,
    pub(crate) buffer_bytes_max: u64,
    pub(crate) stall_timeout: Duration,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) lineage: Lineage,
    /// Number and bounds of those that were not begun yet.
    pub(crate) waiting: BTreeMap<GroupId, (u32, Bounds)>,
}

impl Following {
    /// A partition is read when its parents were.
    pub(crate) fn add(&mut self, partition: &PartitionRoute, bounds: Bounds) {
        if self.lineage.add(partition) {
            self.waiting.insert(partition.group, (partition.partition, bounds));
        }
    }

    /// Reads until there is nothing more to read, or until it is aborted.
    pub(crate) async fn run(mut self) {
        let mut tables = self.core.router.watch();
        let (ended, mut endings) = mpsc::channel(ENDINGS_QUEUED_MAX);
        let mut tasks = TaskGroup::new();
        loop {
            let table = Arc::clone(&tables.borrow_and_update());
            let more_may_come = self.learn(&table);
            for group in self.lineage.begin() {
                let Some(reader) = self.reader(group) else { continue };
                let ended = ended.clone();
                tasks.spawn(async move {
                    // Nobody hears it when the reader was dropped.
                    let _ = ended.send((group, reader.run().await)).await;
                });
            }
            let more_comes = more_may_come && self.lineage.lacks_children();
            if !self.lineage.is_reading() && !more_comes {
                return;
            }
            tokio::select! {
                Some((group, ending)) = endings.recv() => match ending {
                    Ending::End | Ending::Sealed { .. } => self.lineage.read(group),
                    Ending::Broken => self.lineage.broke(group),
                },
                Ok(()) = tables.changed(), if self.follows => {}
            }
        }
    }

    /// Takes in the partitions that were not there before: all of them are read from their first records on. Whether more
    /// may come.
    fn learn(&mut self, table: &RoutingTable) -> bool {
        if !self.follows {
            return false;
        }
        let Some(now) = table.topic(&self.topic.name).filter(|now| now.id == self.topic.id) else {
            return false;
        };
        for partition in now.all() {
            self.add(partition, Bounds { position: 0, end: None });
        }
        true
    }

    fn reader(&mut self, group: GroupId) -> Option<PartitionReader> {
        let (partition, bounds) = self.waiting.remove(&group)?;
        Some(PartitionReader {
            core: Arc::clone(&self.core),
            origin: Origin { topic: Arc::clone(&self.topic.name), partition },
            source: Source { group, epoch: 0, turn: 0 },
            consumer_group: String::new(),
            position: bounds.position,
            told: None,
            end: bounds.end,
            credit: Arc::new(Credit::new(self.buffer_bytes_max)),
            stall_timeout: self.stall_timeout,
            events: self.events.clone(),
        })
    }
}
