//! Very many messages are leased at once, and acked in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use weir_client::{Client, LeaseToken, ReceiveOptions, Record, Settle, SettleAction};

use super::{Figure, Stage, figure, memory, publish, rate};
use crate::system::Error;

const BODY: [u8; 100] = [b'.'; 100];
const CONSUMERS: usize = 8;
/// Messages of a call.
const TOGETHER: u32 = 1_024;
/// Long enough for all of it.
const LEASE: Duration = Duration::from_hours(1);

pub(super) async fn play(stage: &Stage, count: u64) -> Result<Vec<Figure>, Error> {
    let before = memory::of(stage).await?;
    publish::all(stage, count, |_| Record::new(&BODY[..])).await?;
    stage.tell("leasing");
    let began = Instant::now();
    let held = lease(stage, count).await?;
    let mut figures = vec![rate("messages leased", count, began.elapsed())];
    let leased: u64 =
        stage.client.admin().queue_stats(&stage.topic).await?.iter().map(|partition| partition.leased).sum();
    if leased != count {
        return Err(format!("{leased} messages are said to be leased, {count} were").into());
    }
    figures.push(figure("leased at once", leased as f64, "messages"));
    figures.extend(memory::figures(stage, before, count, "leased messages").await?);
    stage.tell("acking");
    let began = Instant::now();
    ack(stage, held).await?;
    figures.push(rate("messages acked", count, began.elapsed()));
    Ok(figures)
}

/// Leases so many; what each consumer holds.
async fn lease(stage: &Stage, count: u64) -> Result<Vec<Vec<LeaseToken>>, Error> {
    let left = Arc::new(AtomicU64::new(count));
    let mut consumers = JoinSet::new();
    for _ in 0..CONSUMERS {
        consumers.spawn(consume(stage.client.clone(), stage.topic.clone(), Arc::clone(&left)));
    }
    let mut held = Vec::new();
    while let Some(tokens) = consumers.join_next().await {
        held.push(tokens??);
    }
    Ok(held)
}

async fn consume(client: Client, topic: String, left: Arc<AtomicU64>) -> Result<Vec<LeaseToken>, Error> {
    let options = ReceiveOptions {
        max_messages: TOGETHER,
        wait: Duration::from_secs(1),
        lease: Some(LEASE),
        ..ReceiveOptions::default()
    };
    let mut held = Vec::new();
    while left.load(Ordering::Relaxed) > 0 {
        let messages = client.receive(&topic, options).await?;
        left.fetch_sub(messages.len() as u64, Ordering::Relaxed);
        held.extend(messages.into_iter().map(|message| message.token));
    }
    Ok(held)
}

async fn ack(stage: &Stage, held: Vec<Vec<LeaseToken>>) -> Result<(), Error> {
    let mut consumers = JoinSet::new();
    for tokens in held {
        let client = stage.client.clone();
        consumers.spawn(async move {
            for tokens in tokens.chunks(TOGETHER as usize) {
                let ack = |token: &LeaseToken| Settle { token: *token, action: SettleAction::Ack };
                let acks: Vec<Settle> = tokens.iter().map(ack).collect();
                client.settle(&acks).await.into_iter().collect::<Result<Vec<_>, _>>()?;
            }
            Ok::<_, weir_client::Error>(())
        });
    }
    while let Some(acked) = consumers.join_next().await {
        acked??;
    }
    Ok(())
}
