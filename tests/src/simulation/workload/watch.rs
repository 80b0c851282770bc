//! Somebody who looks at a stream partition all along: its bounds, and the group's position. Neither may ever be older
//! than what was known when it asked.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_checker::Op;
use weir_types::{GroupId, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::produce::unexpected;
use super::{GROUP, Journal, STREAM};
use crate::recorder::End;

/// Looks until everything is drained. Between two looks pass at most so many milliseconds.
pub(super) async fn watch(
    client: Client,
    journal: Journal,
    (index, group): (u32, GroupId),
    pace_ms_max: u64,
    drained: CancellationToken,
) -> Result<(), WeirError> {
    let topic = STREAM.to_owned();
    while !drained.is_cancelled() {
        bounds(&client, &journal, (index, group)).await?;
        let begun = journal.begin();
        let question = Question::Position { group, consumers: GROUP.to_owned() };
        let answer = client.ask(Some(group), &question, Duration::ZERO).await?;
        let Answer::Position { committed } = answer else { return Err(unexpected(&answer)) };
        let op = Op::Position {
            group: GROUP.to_owned(),
            topic: topic.clone(),
            partition: index,
            offset: committed,
        };
        journal.end(begun, op, End::Ok);
        sleep(Duration::from_millis(1 + client.below(pace_ms_max))).await;
    }
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
