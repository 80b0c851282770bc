//! What this node's replicas hold, in numbers that can be compared with the other replicas'.

use tokio::task::spawn_blocking;
use twox_hash::xxhash3_128::Hasher;
use weir_consensus::Stored;
use weir_queue::{MessageState, Queue};
use weir_stream::Stream;
use weir_types::{Corrupt, ErrorKind, GroupId, LogIndex, MessageId, ReplicaId, Row, TopicKind, WeirError};

use super::bodies::read_error;
use super::queue::counts;
use crate::broker::Broker;
use crate::hosted::{Hosted, Kind, with_partition};
use crate::remote::ContentsView;
use crate::replica::{AppliedSender, Replica, State};

/// Messages of one queue partition whose states are listed.
const MESSAGES_MAX: usize = 100_000;
/// Messages looked at at once.
const PAGE: usize = 10_000;

/// The replicated state of one replica.
#[derive(Clone, Debug)]
pub struct ReplicaDigest {
    /// Name of its topic; empty for the cluster's own groups.
    pub topic: String,
    /// Its number in the topic.
    pub index: u32,
    /// Its Raft group.
    pub group: GroupId,
    /// None for the cluster's own groups.
    pub kind: Option<TopicKind>,
    /// The replica.
    pub replica: ReplicaId,
    /// Term of the last applied entry, 0 before the first.
    pub term: u64,
    /// Index of the last applied entry, 0 before the first.
    pub applied: u64,
    /// Over all rows: machine and clocks. Equal for equal state, whatever the node.
    pub hash: u128,
    /// Rows.
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// What it holds.
    pub contents: ContentsView,
    /// Every message of a queue that is not gone, if that was asked for.
    pub messages: Vec<(MessageId, MessageState)>,
    /// Whether there are more messages than those.
    pub messages_cut: bool,
}

/// Whether the state of every message is told too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Counts alone.
    Counts,
    /// Every message of a queue.
    Messages,
}

impl Broker {
    /// What the replicas on this node hold, of one topic or of all groups, in order of group. One after the other: the
    /// rows of one partition are in memory at a time. They are read from the store, so no entry waits for it.
    pub async fn digests(
        &self,
        topic: Option<&str>,
        detail: Detail,
    ) -> Result<Vec<ReplicaDigest>, WeirError> {
        let wanted = topic.map(|name| self.topic(name)).transpose()?.map(|topic| topic.id);
        let mut digests = Vec::new();
        if wanted.is_none() {
            digests.push(self.metadata_digest().await?);
        }
        let hosted: Vec<_> =
            self.inner().hosted.read().iter().map(|(id, hosted)| (*id, hosted.clone())).collect();
        for (group, hosted) in hosted {
            let known = self.registry(|registry| {
                let partition = registry.partition(group)?;
                let name = registry.topic(partition.topic).map(|topic| topic.name.clone());
                Some((partition.topic, partition.index, name.unwrap_or_default()))
            });
            // A partition that the registry has dropped is about to be closed.
            let Some((of, index, topic)) = known else { continue };
            if wanted.is_none_or(|wanted| wanted == of) {
                let mut digest = digest(group, &hosted, detail).await?;
                (digest.topic, digest.index) = (topic, index);
                digests.push(digest);
            }
        }
        Ok(digests)
    }

    async fn metadata_digest(&self) -> Result<ReplicaDigest, WeirError> {
        let group = self.metadata().partition().group();
        let stored = group.stored().await.map_err(|error| read_error(&error))?;
        Ok(of_rows(GroupId::METADATA, group.spec().replica, &stored))
    }
}

async fn digest(group: GroupId, hosted: &Hosted, detail: Detail) -> Result<ReplicaDigest, WeirError> {
    let stored = with_partition!(&hosted.partition, partition => partition.group().stored().await);
    let stored = stored.map_err(|error| read_error(&error))?;
    let (replica, kind) = (hosted.replica, kind(&hosted.partition));
    let digested = spawn_blocking(move || {
        let mut digest = of_rows(group, replica, &stored);
        digest.kind = kind;
        match kind {
            Some(TopicKind::Queue) => digest.look_into_queue(stored.rows, detail)?,
            Some(TopicKind::Stream) => digest.look_into_stream(stored.rows)?,
            None => {}
        }
        Ok(digest)
    });
    let digested = digested.await.map_err(|error| internal(&error.to_string()))?;
    digested.map_err(|corrupt: Corrupt| {
        WeirError::new(ErrorKind::Corrupt, "rows-damaged", format!("partition {group}: {corrupt}"))
    })
}

fn kind(partition: &Kind) -> Option<TopicKind> {
    match partition {
        Kind::Queue(_) => Some(TopicKind::Queue),
        Kind::Stream(_) => Some(TopicKind::Stream),
        Kind::Coordinator(_) => None,
    }
}

/// Everything that rows tell without being understood.
fn of_rows(group: GroupId, replica: ReplicaId, stored: &Stored) -> ReplicaDigest {
    let mut hasher = Hasher::new();
    let mut bytes = 0;
    for Row { key, value } in &stored.rows {
        // Lengths first, so that no two sets of rows run into the same bytes.
        for part in [key, value] {
            hasher.write(&(part.len() as u64).to_be_bytes());
            hasher.write(part);
            bytes += part.len() as u64;
        }
    }
    ReplicaDigest {
        topic: String::new(),
        index: 0,
        group,
        kind: None,
        replica,
        term: stored.applied.map_or(0, |position| position.term.0),
        applied: stored.applied.map_or(0, |position| position.index.0),
        hash: hasher.finish_128(),
        rows: stored.rows.len() as u64,
        bytes,
        contents: ContentsView::Internal,
        messages: Vec::new(),
        messages_cut: false,
    }
}

impl ReplicaDigest {
    fn look_into_queue(&mut self, rows: Vec<Row>, detail: Detail) -> Result<(), Corrupt> {
        let replica = restored::<Queue>(rows)?;
        let queue = replica.state();
        self.contents = ContentsView::Queue(counts(queue));
        if detail == Detail::Messages {
            self.list(queue);
        }
        Ok(())
    }

    fn list(&mut self, queue: &Queue) {
        let mut from = MessageId(0);
        loop {
            let page = queue.peek(from, PAGE);
            let Some(last) = page.last() else { return };
            if self.messages.len() + page.len() > MESSAGES_MAX {
                self.messages_cut = true;
                return;
            }
            from = MessageId(last.message.0 + 1);
            self.messages.extend(page.into_iter().map(|view| (view.message, view.state)));
        }
    }

    fn look_into_stream(&mut self, rows: Vec<Row>) -> Result<(), Corrupt> {
        let replica = restored::<Stream>(rows)?;
        let stream = replica.state();
        let (start, end) = (stream.start_offset(), stream.end_offset());
        self.contents = ContentsView::Stream { start, end, bytes: stream.bytes() };
        Ok(())
    }
}

/// A replica beside the one that runs, to be looked at for as long as it takes.
fn restored<S: State>(rows: Vec<Row>) -> Result<Replica<S>, Corrupt> {
    Replica::from_rows(rows, S::empty, AppliedSender::new(LogIndex(0)))
}

fn internal(text: &str) -> WeirError {
    WeirError::new(ErrorKind::Internal, "internal", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(rows: &[(&str, &str)]) -> u128 {
        let rows = rows.iter().map(|(key, value)| Row { key: (*key).into(), value: (*value).into() });
        of_rows(GroupId(1), ReplicaId(1), &Stored { applied: None, rows: rows.collect() }).hash
    }

    #[test]
    fn equal_rows_have_equal_hashes_and_others_have_not() {
        let one = hash(&[("a", "1"), ("b", "2")]);
        assert_eq!(one, hash(&[("a", "1"), ("b", "2")]));
        for other in
            [&[("a", "1")][..], &[("a", "1"), ("b", "3")], &[("a1", ""), ("b", "2")], &[("a", "1b2")]]
        {
            assert_ne!(one, hash(other));
        }
    }
}
