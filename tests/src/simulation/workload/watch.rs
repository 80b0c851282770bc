//! Somebody who looks at a stream partition all along: its bounds, and the group's position. Neither may ever be older
//! than what was known when it asked.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_checker::Op;
use weir_types::{GroupId, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::atlas::Atlas;
use super::produce::unexpected;
use super::{GROUP, Journal, STREAM};
use crate::recorder::End;

/// Looks until everything is drained. Between two looks pass at most so many milliseconds.
pub(super) async fn watch(
    client: Client,
    journal: Journal,
    partition: (u32, GroupId),
    pace_ms_max: u64,
    drained: CancellationToken,
) -> Result<(), WeirError> {
    while !drained.is_cancelled() {
        look(&client, &journal, partition).await?;
        sleep(Duration::from_millis(1 + client.below(pace_ms_max))).await;
    }
    Ok(())
}

/// Looks at any of the stream's partitions until everything is drained.
pub(super) async fn watch_any(
    client: Client,
    journal: Journal,
    atlas: Atlas,
    pace_ms_max: u64,
    drained: CancellationToken,
) -> Result<(), WeirError> {
    while !drained.is_cancelled() {
        let partitions = atlas.all(STREAM);
        let chosen = &partitions[client.below(partitions.len() as u64) as usize];
        look(&client, &journal, chosen.place()).await?;
        sleep(Duration::from_millis(1 + client.below(pace_ms_max))).await;
    }
    Ok(())
}

async fn look(client: &Client, journal: &Journal, (index, group): (u32, GroupId)) -> Result<(), WeirError> {
    bounds(client, journal, (index, group)).await?;
    let begun = journal.begin();
    let question = Question::Position { group, consumers: GROUP.to_owned() };
    let answer = client.ask(Some(group), &question, Duration::ZERO).await?;
    let Answer::Position { committed } = answer else { return Err(unexpected(&answer)) };
    let (group, topic) = (GROUP.to_owned(), STREAM.to_owned());
    journal.end(begun, Op::Position { group, topic, partition: index, offset: committed }, End::Ok);
    Ok(())
}

/// Looks at the bounds once.
pub(super) async fn bounds(
    client: &Client,
    journal: &Journal,
    (partition, group): (u32, GroupId),
) -> Result<(), WeirError> {
    let begun = journal.begin();
    let answer = client.ask(Some(group), &Question::Bounds { group }, Duration::ZERO).await?;
    let Answer::Bounds { start, end } = answer else { return Err(unexpected(&answer)) };
    journal.end(begun, Op::Bounds { topic: STREAM.to_owned(), partition, start, end }, End::Ok);
    Ok(())
}
