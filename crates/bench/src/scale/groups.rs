//! Very many consumer groups read the same stream, each all of it, and commit.

use std::time::Instant;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use weir_client::{ConsumerOptions, Record};

use super::{Figure, Stage, figure, memory, publish, rate};
use crate::system::Error;

const BODY: [u8; 100] = [b'.'; 100];
/// Records of the stream.
const RECORDS: u64 = 10_000;
/// Groups that read at once.
const AT_ONCE: usize = 64;
/// Groups between two words about progress.
const TOLD_EVERY: u64 = 50;

pub(super) async fn play(stage: &Stage, count: u64) -> Result<Vec<Figure>, Error> {
    publish::all(stage, RECORDS, |_| Record::new(&BODY[..])).await?;
    let before = memory::of(stage).await?;
    let began = Instant::now();
    let one = |number: u64| async move {
        if number.is_multiple_of(TOLD_EVERY) {
            stage.tell(format!("{number} of {count} groups"));
        }
        read(stage, &format!("{}-{number}", stage.topic)).await
    };
    stream::iter(0..count).map(one).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    let took = began.elapsed();
    let mut figures = vec![rate("groups that read all and committed", count, took)];
    figures.push(figure("records read", (count * RECORDS) as f64 / took.as_secs_f64(), "per second"));
    figures.extend(memory::figures(stage, before, count, "groups").await?);
    let last = format!("{}-{}", stage.topic, count - 1);
    let asked = Instant::now();
    let described = stage.client.admin().describe_group(&last).await?;
    figures.push(figure("answer with a group's lag", asked.elapsed().as_secs_f64() * 1e3, "ms"));
    let committed = described.positions.iter().filter_map(|position| position.committed).sum::<u64>();
    if committed != RECORDS {
        return Err(format!("group {last} has committed {committed} of {RECORDS}").into());
    }
    Ok(figures)
}

async fn read(stage: &Stage, group: &str) -> Result<(), Error> {
    let mut consumer =
        stage.client.stream_consumer(group, &[&stage.topic], ConsumerOptions::default()).await?;
    let mut read = 0;
    while read < RECORDS {
        let batch = consumer.next_batch(RECORDS as usize).await.ok_or("the consumer has ended")??;
        read += batch.len() as u64;
    }
    consumer.commit().await?;
    Ok(consumer.close().await?)
}
