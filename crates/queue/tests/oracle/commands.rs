//! From a step of a generated history to a command that makes sense by now.

use weir_queue::{
    Action, Attributes, Command, DedupId, DedupRecord, Enqueue, Lease, MessageState, ParkKind, ProducerBatch,
    Queue, Run, Select, SessionEnding, Settle, SettleItem,
};
use weir_types::{KeyHash, MessageId, ProducerEpoch, ProducerId, RequestId, SessionId};

use super::Oracle;
use super::sharing::tenants;

/// A record of a batch; 0 stands for none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    pub(crate) key: u32,
    pub(crate) priority: u8,
    pub(crate) delay: u64,
    pub(crate) ttl: u64,
    pub(crate) tenant: u8,
}

/// What to do next; what exactly depends on what happened so far.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Enqueue {
        records: Vec<Record>,
        sequenced: bool,
    },
    EnqueueWithIds {
        ids: Vec<u8>,
    },
    RepeatBatch {
        back: u8,
    },
    Lease {
        max: u32,
        session: u64,
        lease_ms: u64,
    },
    RepeatLease {
        back: u8,
    },
    /// Which grant (counted back from the last one), which action, which time.
    Settle {
        items: Vec<(u8, u8, u64)>,
    },
    RepeatSettle {
        back: u8,
    },
    Open(u64),
    Keep(u64),
    Close {
        session: u64,
        clean: bool,
    },
    Redrive {
        kind: Option<ParkKind>,
        max: u32,
    },
    Discard {
        kind: Option<ParkKind>,
        max: u32,
    },
    Cancel {
        pick: u8,
    },
    Purge {
        pick: u8,
        max: u32,
    },
    /// Which grants, and where what came of them goes.
    AckAndAppend {
        backs: Vec<u8>,
        destinations: Vec<u8>,
    },
    RepeatAckAndAppend {
        back: u8,
    },
    Send {
        destination: u8,
        told: bool,
    },
    Transfer {
        skew: u8,
        /// The tenant of each record.
        tenants: Vec<u8>,
    },
    /// Tenants are seen from now on, or not.
    Share(bool),
    /// Which replay, how much of it, and whether an earlier step is repeated instead.
    Replay {
        id: u8,
        max: usize,
        again: Option<u8>,
    },
    /// How many entries back what is written anew begins to lie, how many rows of it, and whether an earlier step is
    /// repeated instead.
    Relocate {
        back: u8,
        rows: usize,
        again: Option<u8>,
    },
    Move {
        parked: bool,
        max: usize,
        destination: u8,
    },
    Seal,
    /// Which parent, and what it has.
    Inherit {
        parent: u8,
        base: u64,
        keys: Vec<u32>,
        ids: Vec<(u8, u64)>,
    },
    Drained {
        parent: u8,
        keys: Vec<u32>,
    },
    /// The first so many.
    ConfirmDrained(usize),
    /// A destination, how much of what waits for it, and for whom that is now.
    Recut {
        destination: u8,
        max: usize,
        into: Vec<u8>,
    },
}

impl Oracle {
    pub(crate) fn command_for(&mut self, step: &Step, queue: &Queue) -> Option<Command> {
        let back = |back: u8, len: usize| len.checked_sub(1 + usize::from(back) % len.max(1));
        Some(match step {
            Step::Enqueue { records, sequenced } => {
                let tenants = tenants(records.iter().map(|record| record.tenant));
                Command::enqueue(self.batch(records, *sequenced), tenants)
            }
            Step::EnqueueWithIds { ids } => Command::Enqueue(self.batch_with_ids(ids)),
            Step::RepeatBatch { back: b } => {
                Command::Enqueue(self.batches.get(back(*b, self.batches.len())?)?.0.clone())
            }
            Step::Lease { max, session, lease_ms } => Command::Lease(self.lease(*max, *session, *lease_ms)),
            Step::RepeatLease { back: b } => {
                Command::Lease(self.leases.get(back(*b, self.leases.len())?)?.0.clone())
            }
            Step::Settle { items } => Command::Settle(self.settle(items)?),
            Step::RepeatSettle { back: b } => {
                Command::Settle(self.settles.get(back(*b, self.settles.len())?)?.0.clone())
            }
            Step::Open(session) => Command::OpenSession { session: SessionId(*session) },
            Step::Keep(session) => Command::KeepSession { session: SessionId(*session) },
            Step::Close { session, clean } => Command::CloseSession {
                session: SessionId(*session),
                ending: if *clean { SessionEnding::Clean } else { SessionEnding::Lost },
            },
            Step::Redrive { kind, max } => {
                Command::Redrive { select: kind.map_or(Select::All, Select::Reason), max: *max }
            }
            Step::Discard { kind, max } => {
                let one = queue.parked(*kind, MessageId(0), 1).first().map(|view| Select::One(view.message));
                Command::Discard { select: one?, max: *max }
            }
            Step::Cancel { pick } => {
                let scheduled =
                    |view: &weir_queue::MessageView| matches!(view.state, MessageState::Scheduled { .. });
                let all: Vec<_> = queue.peek(MessageId(0), 1_000).into_iter().filter(scheduled).collect();
                Command::CancelScheduled { message: all.get(usize::from(*pick) % all.len().max(1))?.message }
            }
            Step::Purge { pick, max } => {
                let horizon = queue.stats().next_message.0.saturating_sub(u64::from(*pick % 40));
                Command::Purge { before: (pick % 2 == 0).then_some(MessageId(horizon)), max: *max }
            }
            Step::AckAndAppend { backs, destinations } => self.ack_and_append(backs, destinations)?,
            Step::RepeatAckAndAppend { back } => self.repeated_step(*back)?,
            Step::Send { destination, told } => self.send(*destination, *told, queue)?,
            Step::Move { parked, max, destination } => self.move_on(*parked, *max, *destination, queue)?,
            Step::Replay { id, max, again } => self.replay(*id, *max, *again, queue)?,
            Step::Relocate { back, rows, again } => self.relocate(*back, *rows, *again, queue)?,
            Step::Transfer { skew, tenants: of } => {
                let batch = self.batch(&vec![Record::default(); of.len()], false);
                self.transfer(*skew, batch, tenants(of.iter().copied()))
            }
            Step::Share(shared) => self.share(*shared),
            Step::Seal => Command::Seal,
            Step::Inherit { parent, base, keys, ids } => Self::inherit(*parent, *base, keys, ids),
            Step::Drained { parent, keys } => Self::drained(*parent, keys),
            Step::ConfirmDrained(count) => {
                Command::ConfirmDrained { keys: queue.drained().into_iter().take(*count).collect() }
            }
            Step::Recut { destination, max, into } => self.recut(*destination, *max, into)?,
        })
    }

    /// Leases all it can for long, and acks all that it holds; parents are done with their keys.
    pub(crate) fn drain_commands(&mut self, queue: &Queue) -> Vec<Command> {
        let held = queue.peek(MessageId(0), 1_000).into_iter().filter_map(|view| match view.state {
            MessageState::Leased { lease, .. } => {
                Some(SettleItem { message: view.message, lease, action: Action::Ack })
            }
            _ => None,
        });
        let settle = Settle { request: None, items: held.collect() };
        let mut commands: Vec<_> = self.lineage.release().collect();
        commands.extend([Command::Settle(settle), Command::Lease(self.lease(100, 0, 10_000))]);
        commands
    }

    fn batch(&mut self, records: &[Record], sequenced: bool) -> Enqueue {
        let time = |ms: u64| (ms > 0).then(|| self.at.wall_clock + ms);
        let runs = records.iter().map(|Record { key, priority, delay, ttl, .. }| {
            let key = (*key > 0).then_some(KeyHash(*key));
            let (deliver_at, expires_at) = (time(*delay), time(*ttl));
            Run { count: 1, attributes: Attributes { key, priority: *priority, deliver_at, expires_at } }
        });
        let count = records.len() as u32;
        let producer = sequenced.then(|| {
            let (id, epoch) = (ProducerId(1), ProducerEpoch(1));
            ProducerBatch { id, epoch, sequence: self.next_sequence }
        });
        Enqueue {
            position: 0,
            length: 100 * count,
            count,
            bytes: 90 * u64::from(count),
            producer,
            runs: runs.collect(),
            dedup: Vec::new(),
        }
    }

    fn batch_with_ids(&mut self, ids: &[u8]) -> Enqueue {
        let records = vec![Record::default(); ids.len()];
        let dedup = (0..).zip(ids).map(|(record, id)| DedupRecord { record, id: DedupId(u128::from(*id)) });
        Enqueue { dedup: dedup.collect(), ..self.batch(&records, false) }
    }

    fn lease(&mut self, max: u32, session: u64, lease_ms: u64) -> Lease {
        self.requests += 1;
        Lease {
            request: RequestId(self.requests),
            session: (session > 0).then_some(SessionId(session)),
            max_messages: max,
            max_bytes: 400,
            lease_ms: Some(lease_ms),
        }
    }

    fn settle(&mut self, items: &[(u8, u8, u64)]) -> Option<Settle> {
        let picked = items.iter().filter_map(|(back, action, ms)| {
            let back = usize::from(*back) % 12;
            let granted = self.grants.get(self.grants.len().checked_sub(back + 1)?)?;
            let action = match action {
                0 | 1 => Action::Ack,
                2 => Action::Nack { delay_ms: (*ms < 60).then_some(*ms) },
                3 => Action::Extend { lease_ms: *ms },
                4 => Action::Release,
                _ => Action::Reject { reason: "unwilling".to_owned() },
            };
            Some(SettleItem { message: granted.message, lease: granted.lease, action })
        });
        let items: Vec<SettleItem> = picked.collect();
        self.requests += 1;
        (!items.is_empty()).then_some(Settle { request: Some(RequestId(self.requests)), items })
    }
}
