//! The pace of a simulated disk. What it holds, and loses in a crash, is [`weir_storage::MemoryDisk`]'s matter.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::sleep;
use weir_runtime::Random;
use weir_storage::Spawn;

/// Longest stall.
const STALL_MS_MAX: u64 = 60;

/// How fast a disk is. Clones are the same.
#[derive(Clone)]
pub(super) struct Pace {
    sync_ms_max: u64,
    stalls_permille: u64,
    /// What every round takes at least.
    sync_ms_min: Arc<AtomicU64>,
}

impl Pace {
    /// Ordinary rounds take up to `sync_ms_max`; of a thousand so many take much longer, as when a disk cleans up.
    pub(super) fn new(sync_ms_max: u64, stalls_permille: u64) -> Self {
        Self { sync_ms_max, stalls_permille, sync_ms_min: Arc::default() }
    }

    /// Every round takes at least so long from now on.
    pub(super) fn slow_down(&self, sync_ms_min: u64) {
        self.sync_ms_min.store(sync_ms_min, Ordering::Relaxed);
    }

    fn draw(&self, random: &dyn Random) -> Duration {
        let stalls = random.next_u64() % 1000 < self.stalls_permille;
        let most = if stalls { STALL_MS_MAX.max(self.sync_ms_max) } else { self.sync_ms_max };
        let least = self.sync_ms_min.load(Ordering::Relaxed);
        Duration::from_millis(least + random.next_u64() % (most + 1))
    }
}

/// Starts the log writer as a task that begins each round late. Meanwhile the next batch gathers, and a crash finds
/// writes that nobody was told of.
pub(super) fn slow(random: Arc<dyn Random>, pace: Pace) -> Spawn {
    Arc::new(move |writer| {
        tokio::spawn(rounds(writer, Arc::clone(&random), pace.clone()));
    })
}

async fn rounds(mut writer: Pin<Box<dyn Future<Output = ()> + Send>>, random: Arc<dyn Random>, pace: Pace) {
    let mut late = None;
    poll_fn(|context| {
        // Whatever wakes the writer while it is late falls into the round that is about to begin.
        let wait = late.get_or_insert_with(|| Box::pin(sleep(pace.draw(&*random))));
        ready!(wait.as_mut().poll(context));
        late = None;
        ready!(writer.as_mut().poll(context));
        Poll::Ready(())
    })
    .await;
}
