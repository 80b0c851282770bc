//! A consumer group: its members, and somebody who looks at its positions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use weir_client::{Client, ConsumerOptions, StreamConsumer, StreamRecord};

use super::{GROUP, STREAM, payload};
use crate::history::Reader;
use crate::{History, Op};

/// Between two commits of a member.
const COMMIT: Duration = Duration::from_millis(200);
/// Between two looks at the positions.
const LOOK: Duration = Duration::from_millis(500);

/// Reads and commits until it is told to stop.
pub(super) async fn member(client: Client, history: Arc<History>, number: u16, stop: CancellationToken) {
    let consumer = client.stream_consumer(GROUP, &[STREAM], ConsumerOptions::default()).await;
    let mut member =
        Member { consumer: consumer.expect("a member joins"), next: BTreeMap::new(), history, number };
    let mut commits = interval(COMMIT);
    commits.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let from = member.history.now();
        tokio::select! {
            () = stop.cancelled() => break,
            _ = commits.tick() => member.commit().await,
            record = member.consumer.next() => match record.expect("it reads for ever") {
                Ok(record) => member.note(from, &record),
                Err(error) => member.trouble(from, &error),
            },
        }
    }
    let from = member.history.now();
    if let Err(error) = member.consumer.close().await {
        let who = format!("the end of member {number}");
        member.history.note(from, Op::Trouble { who, error: error.to_string() });
    }
}

struct Member {
    consumer: StreamConsumer,
    /// Positions behind what was handed out since the last commit.
    next: BTreeMap<u32, u64>,
    history: Arc<History>,
    number: u16,
}

impl Member {
    fn note(&mut self, from: u64, record: &StreamRecord) {
        let (partition, offset) = (record.partition, record.offset);
        self.next.insert(partition, offset + 1);
        let value = payload::value(record.value.as_ref());
        self.history.note(from, Op::Read { reader: Reader::Member(self.number), partition, offset, value });
    }

    /// Commits; acknowledged are the positions of the partitions that were owned before and after.
    async fn commit(&mut self) {
        if self.next.is_empty() {
            return;
        }
        let from = self.history.now();
        let before = self.consumer.assignment();
        let result = self.consumer.commit().await;
        let after = self.consumer.assignment();
        let positions = std::mem::take(&mut self.next);
        match result {
            Ok(()) => {
                for (partition, offset) in positions {
                    let owned = |owned: &[(String, u32)]| owned.iter().any(|(_, index)| *index == partition);
                    if owned(&before) && owned(&after) {
                        self.history.note(from, Op::Committed { partition, offset });
                    }
                }
            }
            Err(error) => self.trouble(from, &error),
        }
    }

    fn trouble(&self, from: u64, error: &weir_client::Error) {
        let who = format!("member {}", self.number);
        self.history.note(from, Op::Trouble { who, error: error.to_string() });
    }
}

/// Looks at the committed positions, again and again.
pub(super) async fn look(client: Client, history: Arc<History>, stop: CancellationToken) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        let from = history.now();
        match client.admin().describe_group(GROUP).await {
            Ok(group) => {
                for position in group.positions {
                    history.note(
                        from,
                        Op::Position { partition: position.partition, offset: position.committed },
                    );
                }
            }
            // Before the first member has joined.
            Err(error) if error.kind() == weir_client::ErrorKind::NotFound => {}
            Err(error) => {
                history.note(
                    from,
                    Op::Trouble { who: "a look at the group".to_owned(), error: error.to_string() },
                );
            }
        }
    }
}
