//! What all actors of a workload share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_checker::Phase;
use weir_types::KeyHash;

use crate::history::History;
use crate::wire::{Route, Routes};

/// How often an actor that has nothing to do looks whether that has changed.
const IDLE: Duration = Duration::from_millis(50);

/// The run as its actors see it. Cheap to clone.
#[derive(Clone)]
pub struct Stage {
    /// Where everything is written down.
    pub history: History,
    /// Who leads what.
    pub routes: watch::Receiver<Arc<Routes>>,
    /// The part of the run that is under way.
    pub phase: watch::Receiver<Phase>,
    /// Ends every actor.
    pub stop: CancellationToken,
    /// Held by whoever sends something, or makes parked messages ready again; the drain begins when nobody does.
    pub adding: Arc<RwLock<()>>,
    /// How much is asked for.
    pub load: Load,
}

/// How much is asked for, and how patiently.
#[derive(Clone, Debug)]
pub struct Load {
    /// The seed of the run.
    pub seed: u64,
    /// Writes per second, of all producers together.
    pub rate: u32,
    /// Clients at once.
    pub concurrency: u32,
    /// How long a call is waited for, beyond what it was asked to wait itself.
    pub deadline: Duration,
    /// How long leases run by default.
    pub lease: Duration,
    /// Partitions of each topic.
    pub partitions: u32,
    /// Replicas of each partition.
    pub replicas: u32,
}

impl Stage {
    /// The part of the run that is under way.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether new things are written.
    pub fn writes(&self) -> bool {
        matches!(self.phase(), Phase::Warm | Phase::Main | Phase::Healed | Phase::Recovery)
    }

    /// Whether nothing new will be written any more.
    pub fn drains(&self) -> bool {
        matches!(self.phase(), Phase::Drain | Phase::End)
    }

    /// Whether actors may be careless: forget, dawdle, crash.
    pub fn careless(&self) -> bool {
        matches!(self.phase(), Phase::Warm | Phase::Main | Phase::Quiet)
    }

    /// Waits until something may be written; false when that will not be.
    pub async fn may_write(&self) -> bool {
        loop {
            if self.writes() {
                return true;
            }
            if self.drains() || self.stop.is_cancelled() {
                return false;
            }
            sleep(IDLE).await;
        }
    }

    /// Sleeps; false when the run ended meanwhile.
    pub async fn sleep(&self, duration: Duration) -> bool {
        self.stop.run_until_cancelled(sleep(duration)).await.is_some()
    }

    /// The partitions of a topic, sealed ones too; waits until they are known. Empty when the run ends before.
    pub async fn partitions(&self, topic: &str) -> Vec<Route> {
        if self.owners(topic).await.is_empty() { Vec::new() } else { self.routes.borrow().of(topic) }
    }

    /// Those of them that take something in, by the keys that they own.
    pub async fn owners(&self, topic: &str) -> Vec<Route> {
        loop {
            let found = self.routes.borrow().owners(topic);
            if !found.is_empty() {
                return found;
            }
            if !self.sleep(IDLE).await {
                return Vec::new();
            }
        }
    }

    /// The owner of a key that is not `other`, which was sealed: waits until it is known. None when the run ends before,
    /// or nothing may be sent any more.
    pub async fn owner(&self, topic: &str, key: &[u8], other: Option<u32>) -> Option<Route> {
        let hash = KeyHash::of(key);
        loop {
            let mut owners = self.owners(topic).await.into_iter();
            let owner = owners.find(|route| route.range.contains(hash))?;
            if Some(owner.group) != other {
                return Some(owner);
            }
            if self.drains() || !self.sleep(IDLE).await {
                return None;
            }
        }
    }
}
