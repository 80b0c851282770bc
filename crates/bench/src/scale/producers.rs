//! Very many producers, of each of which the partition remembers the last batches.

use std::time::Instant;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use weir_client::{ProducerOptions, Record};

use super::{Figure, Stage, memory, rate};
use crate::system::Error;

const BODY: [u8; 100] = [b'.'; 100];
/// Producers that are opened and closed at once.
const AT_ONCE: usize = 256;
/// Producers between two words about progress.
const TOLD_EVERY: u64 = 5_000;

pub(super) async fn play(stage: &Stage, count: u64) -> Result<Vec<Figure>, Error> {
    let before = memory::of(stage).await?;
    let began = Instant::now();
    let one = |number: u64| async move {
        if number.is_multiple_of(TOLD_EVERY) {
            stage.tell(format!("{number} of {count} producers"));
        }
        let producer = stage.client.producer(&stage.topic, ProducerOptions::default()).await?;
        producer.send(Record::new(&BODY[..])).await?.await?;
        producer.close().await;
        Ok::<_, weir_client::Error>(())
    };
    stream::iter(0..count).map(one).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    let mut figures = vec![rate("producers that sent a message each", count, began.elapsed())];
    let stats = stage.client.admin().queue_stats(&stage.topic).await?;
    let ready: u64 = stats.iter().map(|partition| partition.ready).sum();
    if ready != count {
        return Err(format!("{ready} messages are ready, {count} were sent").into());
    }
    figures.extend(memory::figures(stage, before, count, "producers with a message").await?);
    Ok(figures)
}
