//! An operator who splits, merges and scales a topic all the time, whatever else happens; in the end, when all has healed,
//! the topic has to come to the number of partitions that he wants.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use weir_types::{KeyHash, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::atlas::{Atlas, Region};
use super::produce::unexpected;
use super::{Journal, LOOK};

/// Partitions of a topic that own keys, at most.
const OWNERS_MAX: usize = 8;
/// Partitions of a topic at most, with those that are sealed: each is a Raft group until the end.
const PARTITIONS_MAX: usize = 24;
/// How many the topic is scaled to, at most, all along and in the end.
const SCALE_MAX: u64 = 6;
const LAST_SCALE_MAX: u64 = 4;
/// He has so many tries over the time of the load, about, and waits so long between two at least.
const TRIES: u32 = 24;
const PAUSE_MIN: Duration = Duration::from_millis(700);
/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long the last one may take, when nothing fails any more.
const DONE_WITHIN: Duration = Duration::from_secs(30);

/// The operator of one topic.
pub(super) struct Shaper {
    pub(super) client: Client,
    pub(super) journal: Journal,
    pub(super) atlas: Atlas,
    pub(super) topic: &'static str,
    /// How long there are faults.
    pub(super) load: Duration,
}

impl Shaper {
    /// Works until everything has healed, and then brings the topic to its last number of partitions; that number.
    pub(super) async fn run(self, healed: CancellationToken) -> Result<(), WeirError> {
        let pause = (self.load / TRIES).max(PAUSE_MIN);
        while healed.run_until_cancelled(sleep(self.below(pause * 2))).await.is_some() {
            if let Some(question) = self.draw() {
                let asked = self.client.ask(None, &question, Duration::from_secs(1));
                let told = healed.run_until_cancelled(timeout(PATIENCE, asked)).await;
                let topic = self.topic;
                self.journal.remark(format_args!("shaper of {topic}: {question:?}: {told:?}"));
            }
        }
        self.finish().await
    }

    fn below(&self, bound: Duration) -> Duration {
        Duration::from_millis(1 + self.client.below(bound.as_millis() as u64))
    }

    /// What is done next; nothing when there are partitions enough.
    fn draw(&self) -> Option<Question> {
        let owners = self.atlas.owners(self.topic);
        if self.atlas.all(self.topic).len() + 2 > PARTITIONS_MAX || owners.is_empty() {
            return None;
        }
        let (topic, request) = (self.topic.to_owned(), self.client.request());
        let pick = |count: usize| self.client.below(count as u64) as usize;
        let draw = self.client.below(100);
        Some(if draw < 10 && self.atlas.all(self.topic).len() * 2 < PARTITIONS_MAX {
            let partitions = 1 + self.client.below(SCALE_MAX) as u32;
            Question::Scale { topic, partitions, request }
        } else if owners.len() < 2 || (owners.len() < OWNERS_MAX && draw < 60) {
            let chosen = &owners[pick(owners.len())];
            Question::Split { topic, partition: chosen.index, at: self.place(chosen), request }
        } else {
            let at = pick(owners.len() - 1);
            Question::Merge { topic, left: owners[at].index, right: owners[at + 1].index, request }
        })
    }

    /// Where a partition is split: every second time in the middle.
    fn place(&self, region: &Region) -> Option<KeyHash> {
        let (first, last) = (region.range.first().0, region.range.last().0);
        let uneven = first < last && self.client.below(2) == 0;
        uneven.then(|| KeyHash(first + 1 + self.client.below(u64::from(last - first)) as u32))
    }

    async fn finish(&self) -> Result<(), WeirError> {
        let (began, topic) = (Instant::now(), self.topic);
        let wanted = 1 + self.client.below(LAST_SCALE_MAX);
        while !self.scale(wanted as u32).await? || self.atlas.owners(topic).len() as u64 != wanted {
            if began.elapsed() > DONE_WITHIN {
                let found = self.atlas.owners(topic).len();
                self.journal.violated(format_args!(
                    "P15 {topic} was to have {wanted} partitions, and has {found} {DONE_WITHIN:?} after the heal"
                ));
                break;
            }
            sleep(LOOK).await;
            self.atlas.refresh(&self.client).await?;
        }
        self.journal.remark(format_args!("{topic} has {wanted} partitions after {:?}", began.elapsed()));
        Ok(())
    }

    /// Whether the topic has so many partitions now and nothing of it is under way.
    async fn scale(&self, partitions: u32) -> Result<bool, WeirError> {
        let request = self.client.request();
        let question = Question::Scale { topic: self.topic.to_owned(), partitions, request };
        let asked = self.client.ask(None, &question, Duration::from_secs(1));
        match timeout(PATIENCE, asked).await {
            Ok(Ok(Answer::Reshaped { done, .. })) => Ok(done),
            Ok(Ok(other)) => Err(unexpected(&other)),
            Ok(Err(error)) => {
                self.journal.remark(format_args!("shaper of {}: {error:?}", self.topic));
                Ok(false)
            }
            Err(_) => Ok(false),
        }
    }
}
