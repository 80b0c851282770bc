//! The pace of a simulated disk. What it holds, and loses in a crash, is [`weir_storage::MemoryDisk`]'s matter.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::sleep;
use weir_runtime::Random;
use weir_storage::Spawn;

/// Of a thousand rounds of the log writer so many stall, as a disk does that cleans up.
const STALLS_PERMILLE: u64 = 5;
/// Longest stall.
const STALL_MS_MAX: u64 = 60;

/// Starts the log writer as a task that begins each round late by up to `sync_ms_max`, sometimes by much more. Meanwhile
/// the next batch gathers, and a crash finds writes that nobody was told of.
pub(super) fn slow(random: Arc<dyn Random>, sync_ms_max: u64) -> Spawn {
    Arc::new(move |writer| {
        tokio::spawn(rounds(writer, Arc::clone(&random), sync_ms_max));
    })
}

async fn rounds(
    mut writer: Pin<Box<dyn Future<Output = ()> + Send>>,
    random: Arc<dyn Random>,
    sync_ms_max: u64,
) {
    let mut late = None;
    poll_fn(|context| {
        // Whatever wakes the writer while it is late falls into the round that is about to begin.
        let wait = late.get_or_insert_with(|| Box::pin(sleep(pause(&*random, sync_ms_max))));
        ready!(wait.as_mut().poll(context));
        late = None;
        ready!(writer.as_mut().poll(context));
        Poll::Ready(())
    })
    .await;
}

fn pause(random: &dyn Random, sync_ms_max: u64) -> Duration {
    let stalls = random.next_u64() % 1000 < STALLS_PERMILLE;
    let most = if stalls { STALL_MS_MAX } else { sync_ms_max };
    Duration::from_millis(random.next_u64() % (most + 1))
}
