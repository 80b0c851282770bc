//! A consumer group: its members, and somebody who looks at its positions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use weir_checker::{Consumer, Micros, Op};
use weir_client::{Client, ConsumerOptions, ErrorKind, Result, StreamConsumer, StreamRecord};

use super::{GROUP, STREAM, payload};
use crate::Recorder;
use crate::recorder::{Begun, End};

/// Between two commits of a member.
const COMMIT: Duration = Duration::from_millis(200);
/// Between two looks at the positions.
const LOOK: Duration = Duration::from_millis(500);

/// Reads and commits until it is told to stop.
pub(super) async fn member(
    client: Client,
    recorder: Arc<Recorder>,
    number: Consumer,
    stop: CancellationToken,
) {
    let name = format!("member {}", number.0);
    let consumer = client.stream_consumer(GROUP, &[STREAM], ConsumerOptions::default()).await;
    let consumer = consumer.expect("a member joins");
    let mut member = Member { consumer, owned: BTreeMap::new(), recorder: Arc::clone(&recorder), number };
    let mut commits = interval(COMMIT);
    commits.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let begun = recorder.begin();
        let result = tokio::select! {
            () = stop.cancelled() => break,
            _ = commits.tick() => member.commit().await,
            record = member.consumer.next() => {
                match record.expect("it reads for ever") {
                    Ok(record) => member.take(begun, &record).await,
                    Err(error) => Err(error),
                }
            }
        };
        if let Err(error) = result {
            recorder.trouble(&name, error);
        }
    }
    if let Err(error) = member.leave().await {
        recorder.trouble(&format!("the end of {name}"), error);
    }
}

struct Member {
    consumer: StreamConsumer,
    /// By partition.
    owned: BTreeMap<u32, Owned>,
    recorder: Arc<Recorder>,
    number: Consumer,
}

/// A partition, as far as this member knows.
#[derive(Clone, Copy)]
struct Owned {
    epoch: u64,
    /// Behind the last record that was handed out.
    next: u64,
    /// What was acknowledged as committed.
    committed: u64,
    /// When the first record behind that was handed out.
    since: Micros,
}

impl Member {
    /// A partition that went away and came back is read again from where the group stands, perhaps under the epoch that it
    /// had: the consumer has to say so, by its next commit.
    async fn take(&mut self, begun: Begun, record: &StreamRecord) -> Result<()> {
        let last = self.owned.get(&record.partition).copied();
        let again =
            last.filter(|owned| record.offset < owned.next && self.keeps(record.partition, owned.epoch));
        if again.is_some() {
            self.lose(record.partition);
        }
        self.note(begun, record);
        let Some(again) = again else { return Ok(()) };
        let told = self.commit().await;
        let is_told = told.as_ref().is_err_and(|error| error.kind() == ErrorKind::Fenced);
        let StreamRecord { partition, offset, .. } = record;
        assert!(is_told, "{partition}/{offset} came after {}, and the commit said {told:?}", again.next - 1);
        told
    }

    fn note(&mut self, begun: Begun, record: &StreamRecord) {
        let (partition, offset) = (record.partition, record.offset);
        let epoch = self.consumer.epoch(STREAM, partition);
        if let Some(epoch) =
            epoch.filter(|epoch| self.owned.get(&partition).is_none_or(|it| it.epoch != *epoch))
        {
            self.lose(partition);
            self.assigned(partition, epoch, begun.from());
            let owned = Owned { epoch, next: offset, committed: offset, since: begun.from() };
            self.owned.insert(partition, owned);
        }
        let owned = epoch.and_then(|_| self.owned.get_mut(&partition));
        let asked = owned.as_ref().map_or(offset, |owned| owned.next);
        if let Some(owned) = owned {
            if owned.next == owned.committed {
                owned.since = begun.from();
            }
            owned.next = offset + 1;
        }
        let op = Op::Poll {
            topic: STREAM.to_owned(),
            consumer: self.number,
            group: epoch.map(|epoch| (GROUP.to_owned(), epoch)),
            partition,
            offset: asked,
            records: vec![(offset, payload::value(record.value.as_ref()))],
        };
        self.recorder.end(begun, op, End::Ok);
    }

    /// Records come only after older owners were shut out.
    fn assigned(&self, partition: u32, epoch: u64, from: Micros) {
        let (group, topic) = (GROUP.to_owned(), STREAM.to_owned());
        let op = Op::Assign { group, topic, consumer: self.number, epoch, partitions: vec![partition] };
        self.recorder.end(self.recorder.begin_at(from), op, End::Ok);
    }

    /// Commits everything that was handed out.
    async fn commit(&mut self) -> Result<()> {
        // What went away meanwhile was perhaps committed on its way out; that is not this commit's doing.
        self.lose_what_is_gone();
        if self.owned.values().all(|owned| owned.next == owned.committed) {
            return Ok(());
        }
        let from = self.recorder.now();
        let result = self.consumer.commit().await;
        self.lose_what_is_gone();
        // One of them went away, and is perhaps back under its epoch. Which one it does not say.
        let fenced = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Fenced);
        for (partition, owned) in self.owned.clone() {
            if fenced {
                self.lose(partition);
            } else if result.is_err() {
                self.may_have_committed(partition, owned);
            } else if owned.next > owned.committed {
                let op = self.commit_of(partition, owned);
                self.recorder.end(self.recorder.begin_at(from), op, End::Ok);
                self.owned.insert(partition, Owned { committed: owned.next, ..owned });
            }
        }
        result
    }

    fn lose_what_is_gone(&mut self) {
        let gone = self.owned.iter().filter(|(partition, owned)| !self.keeps(**partition, owned.epoch));
        for partition in gone.map(|(partition, _)| *partition).collect::<Vec<_>>() {
            self.lose(partition);
        }
    }

    fn keeps(&self, partition: u32, epoch: u64) -> bool {
        self.consumer.epoch(STREAM, partition) == Some(epoch)
    }

    /// Another member has the partition, or will have it.
    fn lose(&mut self, partition: u32) {
        if let Some(owned) = self.owned.remove(&partition) {
            self.may_have_committed(partition, owned);
        }
    }

    /// The consumer commits by itself what was handed out, when a partition is taken away.
    fn may_have_committed(&self, partition: u32, owned: Owned) {
        if owned.next > owned.committed {
            self.recorder.may_happen(owned.since, self.commit_of(partition, owned));
        }
    }

    fn commit_of(&self, partition: u32, Owned { epoch, next, .. }: Owned) -> Op {
        let (group, topic) = (GROUP.to_owned(), STREAM.to_owned());
        Op::Commit { group, topic, consumer: self.number, epoch, partition, offset: next }
    }

    async fn leave(mut self) -> Result<()> {
        for partition in self.owned.keys().copied().collect::<Vec<_>>() {
            self.lose(partition);
        }
        self.consumer.close().await
    }
}

/// Looks at the committed positions, again and again.
pub(super) async fn look(client: Client, recorder: Arc<Recorder>, stop: CancellationToken) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        let from = recorder.now();
        match client.admin().describe_group(GROUP).await {
            Ok(group) => {
                for position in group.positions {
                    let op = Op::Position {
                        group: GROUP.to_owned(),
                        topic: STREAM.to_owned(),
                        partition: position.partition,
                        offset: position.committed,
                    };
                    recorder.end(recorder.begin_at(from), op, End::Ok);
                }
            }
            // Before the first member has joined.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => recorder.trouble("a look at the group", error),
        }
    }
}
