//! Many records, as fast as the producer takes them.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use weir_client::{PendingDelivery, ProducerOptions, Record};

use super::Stage;
use crate::system::Error;

/// Records that are sent and not yet looked after.
const PENDING: usize = 65_536;
/// Records between two words about progress.
const TOLD_EVERY: u64 = 250_000;

/// Sends `count` records and waits until each is safe; how long that took.
pub(super) async fn all(
    stage: &Stage,
    count: u64,
    mut record: impl FnMut(u64) -> Record,
) -> Result<Duration, Error> {
    let producer = stage.client.producer(&stage.topic, ProducerOptions::default()).await?;
    let (sent, mut pending) = mpsc::channel::<PendingDelivery>(PENDING);
    let collecting = tokio::spawn(async move {
        while let Some(delivery) = pending.recv().await {
            delivery.await?;
        }
        Ok::<_, weir_client::Error>(())
    });
    let began = Instant::now();
    for number in 0..count {
        if number.is_multiple_of(TOLD_EVERY) {
            stage.tell(format!("{number} of {count} sent"));
        }
        // The collector ends early only with an error, which it returns.
        if sent.send(producer.send(record(number)).await?).await.is_err() {
            break;
        }
    }
    drop(sent);
    collecting.await??;
    let took = began.elapsed();
    producer.close().await;
    Ok(took)
}
