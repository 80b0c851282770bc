//! Members of a consumer group whose stream is split and merged: the coordinator gives them partitions, and a child only when
//! the group has handled its parents. They come and go, and some are too slow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use weir_checker::Consumer;
use weir_types::{GroupId, Offset, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Assigned, Question};
use super::produce::unexpected;
use super::read::{Chunk, Reader};
use super::seat::Seat;
use super::work::Outputs;
use super::{GROUP, Journal, STREAM};

/// After so long without a sign of life a member is out.
const SESSION: Duration = Duration::from_secs(3);
/// Between two signs of life.
const HEARTBEAT: Duration = Duration::from_millis(700);
/// How long a fetch waits for a record: there are more partitions to look at.
const WAIT_MS: u64 = 50;
/// Of a thousand rounds, a member is forgotten after so many, leaves after as many, and stands still after as many.
const MISBEHAVE_PERMILLE: u64 = 8;
const STILL: Duration = Duration::from_secs(5);
/// One read of so many is not followed by a commit.
const UNCOMMITTED_ONE_IN: u64 = 3;
/// One commit of so many appends, where commits do.
const APPENDS_ONE_IN: u64 = 2;

/// A member.
pub(super) struct Member {
    pub(super) client: Client,
    pub(super) journal: Journal,
    /// The next member in the history.
    pub(super) next: Arc<AtomicU32>,
    /// Longest pause between two rounds.
    pub(super) pause_ms_max: u64,
    /// What it appends when it commits; nothing where commits do not append.
    pub(super) outputs: Option<Outputs>,
}

/// A partition that a member has.
#[derive(Clone, Copy)]
struct Owned {
    index: u32,
    epoch: u64,
    next: Offset,
    committed: Option<Offset>,
    /// What was read last.
    last: Option<Chunk>,
}

impl Owned {
    /// Nothing comes any more, and the group has handled all of it: it may have the children.
    fn is_finished(&self) -> bool {
        self.last.is_some_and(|chunk| chunk.is_over() && self.committed.unwrap_or_default() >= chunk.end)
    }

    fn is_uncommitted(&self) -> bool {
        self.next > self.committed.unwrap_or_default()
    }
}

/// Who a member is for a while.
struct Identity {
    name: String,
    consumer: Consumer,
    owned: BTreeMap<GroupId, Owned>,
    heard: Option<Instant>,
}

impl Member {
    fn identity(&self) -> Identity {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("member-{number}");
        Identity { name, consumer: Consumer(number), owned: BTreeMap::new(), heard: None }
    }

    /// Is a member until the group has everything: careful from when all has healed.
    pub(super) async fn run(
        self,
        healed: CancellationToken,
        done: CancellationToken,
    ) -> Result<(), WeirError> {
        let mut me = self.identity();
        while !done.is_cancelled() {
            let careful = healed.is_cancelled();
            if me.heard.is_none_or(|heard| heard.elapsed() >= HEARTBEAT) {
                self.heartbeat(&mut me).await?;
            }
            for group in me.owned.keys().copied().collect::<Vec<_>>() {
                self.work(&mut me, group, careful).await?;
            }
            let pause = if careful { 50 } else { 1 + self.client.below(self.pause_ms_max) };
            sleep(Duration::from_millis(pause)).await;
            if !careful {
                self.misbehave(&mut me).await?;
            }
        }
        Ok(())
    }

    /// Tells the coordinator that the member lives, and takes over what it is given.
    async fn heartbeat(&self, me: &mut Identity) -> Result<(), WeirError> {
        let owned = me.owned.iter().map(|(group, owned)| (*group, owned.epoch, owned.is_finished()));
        // The coordinator holds an answer while a member has what it is assigned. Nobody is assigned this one.
        let owned = owned.chain([(GroupId(u32::MAX), 0, false)]).collect();
        let question = Question::Heartbeat {
            consumers: GROUP.to_owned(),
            member: me.name.clone(),
            topic: STREAM.to_owned(),
            session_timeout_ms: SESSION.as_millis() as u64,
            owned,
        };
        let answer = self.client.ask(None, &question, SESSION).await?;
        let Answer::Assigned(assigned) = answer else { return Err(unexpected(&answer)) };
        me.heard = Some(Instant::now());
        let epochs: BTreeMap<_, _> = assigned.iter().map(|given| (given.group, given.epoch)).collect();
        me.owned.retain(|group, owned| epochs.get(group) == Some(&owned.epoch));
        for Assigned { index, group, epoch } in assigned {
            if me.owned.contains_key(&group) {
                continue;
            }
            if let Some(committed) = self.seat(me, (index, group), epoch).take_over().await? {
                let next = committed.unwrap_or_default();
                me.owned.insert(group, Owned { index, epoch, next, committed, last: None });
            }
        }
        Ok(())
    }

    fn seat(&self, me: &Identity, partition: (u32, GroupId), epoch: u64) -> Seat<'_> {
        Seat { client: &self.client, journal: &self.journal, consumer: me.consumer, partition, epoch }
    }

    /// Reads a partition once, and commits most of what it read.
    async fn work(&self, me: &mut Identity, group: GroupId, careful: bool) -> Result<(), WeirError> {
        let Some(mut owned) = me.owned.get(&group).copied() else { return Ok(()) };
        let reader = Reader { consumer: me.consumer, epoch: Some(owned.epoch), wait_ms: WAIT_MS };
        let place = (owned.index, group);
        let chunk = reader.fetch(&self.client, &self.journal, place, owned.next).await?;
        (owned.next, owned.last) = (chunk.next, Some(chunk));
        let commits = careful || self.client.below(UNCOMMITTED_ONE_IN) > 0;
        if commits && owned.is_uncommitted() {
            let seat = self.seat(me, place, owned.epoch);
            let owns = match &self.outputs {
                Some(outputs) if !careful && self.client.below(APPENDS_ONE_IN) == 0 => {
                    seat.commit_and_append(owned.committed, owned.next, outputs).await?
                }
                _ => seat.commit(owned.next).await?,
            };
            if !owns {
                me.owned.remove(&group);
                return Ok(());
            }
            owned.committed = Some(owned.next);
        }
        me.owned.insert(group, owned);
        Ok(())
    }

    /// Now and then a member leaves, is forgotten, or stands still and believes afterwards that it has all it had.
    async fn misbehave(&self, me: &mut Identity) -> Result<(), WeirError> {
        match self.client.below(1_000) / MISBEHAVE_PERMILLE {
            0 => *me = self.identity(),
            1 => {
                let (consumers, member) = (GROUP.to_owned(), me.name.clone());
                self.client.ask(None, &Question::Leave { consumers, member }, Duration::from_secs(1)).await?;
                *me = self.identity();
            }
            2 => sleep(STILL).await,
            _ => {}
        }
        Ok(())
    }
}
