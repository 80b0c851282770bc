//! What is kept after its ack, and enqueued anew.

use std::collections::{BTreeMap, BTreeSet};

use weir_queue::{
    Attributes, Command, Enqueue, Queue, Rejection, Replay, Reply, Run, TenantRun, limits::KEPT_TOGETHER_MS,
};
use weir_types::{At, MessageId, QueuePolicy, RequestId, WallClock};

use super::Oracle;
use super::sharing::tenants;

/// What was acked and is kept, and what replays made of it.
#[derive(Default)]
pub(crate) struct Replays {
    /// Acked messages, until when each is kept, and whether that is sure: a purge may have taken it, or a neighbour
    /// out of its batch.
    kept: BTreeMap<MessageId, (WallClock, bool)>,
    /// The messages that each replay has enqueued.
    enqueued: BTreeMap<RequestId, BTreeSet<MessageId>>,
    /// Steps, and the messages that their leader saw.
    steps: Vec<(Replay, Vec<MessageId>)>,
}

impl Replays {
    pub(crate) fn acked(&mut self, at: At, policy: &QueuePolicy, id: MessageId) {
        if let Some(ms) = policy.keep_ms {
            self.kept.insert(id, (at.wall_clock + ms, true));
        }
    }

    pub(crate) fn purged(&mut self) {
        self.kept.values_mut().for_each(|(_, sure)| *sure = false);
    }
}

/// The door reads it off the records: it is the same for a message each time.
fn owners(seen: &[MessageId]) -> Vec<TenantRun> {
    tenants(seen.iter().map(|message| (message.0 % 4) as u8))
}

impl Oracle {
    /// A step of one of two replays: as a leader prepares it, or one that was taken before.
    pub(crate) fn replay(&mut self, id: u8, max: usize, again: Option<u8>, queue: &Queue) -> Option<Command> {
        if let Some(back) = again {
            let steps = &self.replays.steps;
            let place = steps.len().checked_sub(1 + usize::from(back) % steps.len().max(1))?;
            let (step, seen) = &steps[place];
            return Some(Command::replay(step.clone(), owners(seen)));
        }
        let request = RequestId(u64::from(id));
        let begun = queue.replayed(request).map(|known| (known.next, known.end));
        let (from, end) = begun.unwrap_or_else(|| (MessageId(0), queue.stats().next_message));
        let kept: Vec<_> = queue.kept(from, max).into_iter().filter(|kept| kept.message < end).collect();
        let next = if kept.len() < max { end } else { MessageId(kept[max - 1].message.0 + 1) };
        let count = kept.len() as u32;
        let batch = (count > 0).then(|| Enqueue {
            position: 0,
            length: 100 * count,
            count,
            bytes: 90 * u64::from(count),
            producer: None,
            runs: vec![Run { count, attributes: Attributes::default() }],
            dedup: Vec::new(),
        });
        let step = Replay { request, from, next, end, batch };
        let seen: Vec<_> = kept.into_iter().map(|kept| kept.message).collect();
        let owners = owners(&seen);
        self.replays.steps.push((step.clone(), seen));
        Some(Command::replay(step, owners))
    }

    pub(crate) fn judge_replay(
        &mut self,
        step: &Replay,
        tenants: &[TenantRun],
        answer: &Result<Reply, Rejection>,
    ) {
        let Ok(Reply::Replayed(now)) = answer else {
            let is_sealed = self.lineage.is_sealed() && answer == &Err(Rejection::KeyGoesOn);
            assert!(is_sealed || matches!(answer, Err(Rejection::QueueFull { .. })), "{answer:?}");
            return;
        };
        let before = self.replays.enqueued.entry(step.request).or_default();
        if now.count == before.len() as u64 {
            return;
        }
        let batch = step.batch.as_ref().expect("a replay grows by a batch");
        let prepared = self.replays.steps.iter().find(|(known, _)| known == step);
        let (_, seen) = prepared.expect("a leader prepared the step");
        assert_eq!(now.next, step.next, "the step was taken");
        for message in seen {
            assert!(before.insert(*message), "message {message} is replayed twice under {}", step.request);
        }
        assert_eq!(now.count, before.len() as u64, "as many as were kept, each once");
        let first = MessageId(self.next_message);
        assert!(seen.iter().all(|message| *message < first), "a replay repeats itself");
        self.add_messages(&batch.clone(), tenants, first, &BTreeSet::new());
        self.next_message += u64::from(batch.count);
    }

    /// What was acked is kept for as long as was asked, and not for much longer; never more than fits.
    pub(crate) fn check_kept(&mut self, queue: &Queue) {
        let (now, stats) = (self.at.wall_clock, queue.stats());
        let bytes_max = self.policy.keep_ms.map_or(0, |_| self.policy.keep_bytes_max);
        assert!(stats.kept_bytes <= bytes_max, "{} bytes are kept of {bytes_max}", stats.kept_bytes);
        let there: BTreeSet<MessageId> =
            queue.kept(MessageId(0), 10_000).into_iter().map(|kept| kept.message).collect();
        assert_eq!(there.len() as u64, stats.kept);
        for id in &there {
            assert!(!self.alive.contains_key(id), "message {id} is kept, and in the queue");
            let until = self.replays.kept.get(id);
            assert!(
                until.is_some_and(|(until, _)| now <= *until + KEPT_TOGETHER_MS),
                "message {id} is kept although {until:?}, now {now}"
            );
        }
        let bounded = bytes_max < 1_000_000;
        for (id, (until, sure)) in &self.replays.kept {
            let goes = *until <= now || bounded || !sure;
            assert!(goes || there.contains(id), "message {id} is not kept until {until}");
        }
    }
}
