//! What a consumer and a producer would swear to, told by the machine's answers alone.

mod commands;
mod lineage;
mod places;
mod replays;
mod sharing;
mod transfers;

use std::collections::{BTreeMap, BTreeSet};

use weir_queue::{
    Action, Command, DedupId, Duplicate, Enqueue, Granted, Hold, Lease, MessageState, Queue, Rejection,
    Reply, Select, Settle, SettleItem, Settled, TenantRun,
};
use weir_types::limits::{DEDUP_WINDOW_MS, SESSION_GRACE_MS};
use weir_types::{
    At, KeyHash, LeaseClock, LeaseId, LogIndex, MessageId, ParkPolicy, QueuePolicy, Row, RowChange, Term,
    WallClock,
};

pub(crate) use commands::{Record, Step};
use lineage::Lineage;
use places::Places;
use replays::Replays;
use transfers::Transfers;

use crate::turns::{LastTurns, Tenant};

/// What is known of a message that came in.
#[derive(Clone, Debug)]
struct Known {
    deliver_at: WallClock,
    ttl: Ttl,
    key: Option<KeyHash>,
    priority: u8,
    tenant: Tenant,
    attempts: u32,
    /// The last grant, and whether it must still be running.
    grant: Option<(Granted, Running)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ttl {
    None,
    Until(WallClock),
    /// A redrive may have made it start anew.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    /// Nothing has ended it but, perhaps, time or its session.
    Surely,
    /// It was settled, or may have been revoked.
    Perhaps,
}

pub(crate) struct Oracle {
    pub(crate) at: At,
    policy: QueuePolicy,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    alive: BTreeMap<MessageId, Known>,
    grants: Vec<Granted>,
    batches: Vec<(Enqueue, MessageId)>,
    next_sequence: u32,
    leases: Vec<(Lease, Vec<Granted>)>,
    settles: Vec<(Settle, Vec<Settled>)>,
    requests: u64,
    last_lease: LeaseId,
    /// Dedup ids, the message that carried each, and until when that counts.
    ids: BTreeMap<DedupId, (MessageId, LeaseClock)>,
    /// The next message to arrive.
    next_message: u64,
    transfers: Transfers,
    replays: Replays,
    places: Places,
    turns: LastTurns,
    lineage: Lineage,
}

impl Oracle {
    pub(crate) fn new(policy: QueuePolicy) -> Self {
        let start = WallClock(1_000_000);
        Self {
            at: At { term: Term(1), index: LogIndex(0), lease_clock: LeaseClock(0), wall_clock: start },
            policy,
            rows: BTreeMap::new(),
            alive: BTreeMap::new(),
            grants: Vec::new(),
            batches: Vec::new(),
            next_sequence: 0,
            leases: Vec::new(),
            settles: Vec::new(),
            requests: 0,
            last_lease: LeaseId(1_000),
            ids: BTreeMap::new(),
            next_message: 0,
            transfers: Transfers::default(),
            replays: Replays::default(),
            places: Places::default(),
            turns: LastTurns::default(),
            lineage: Lineage::default(),
        }
    }

    pub(crate) fn advance(&mut self, lease_ms: u64, wall_ms: u64) {
        self.at.index = self.at.index.next();
        self.at.lease_clock = self.at.lease_clock + lease_ms;
        self.at.wall_clock = self.at.wall_clock + wall_ms;
    }

    pub(crate) fn store(&mut self, changes: Vec<RowChange>) {
        for change in changes {
            match change.value {
                Some(value) => self.rows.insert(change.key, value),
                None => self.rows.remove(&change.key),
            };
        }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        self.rows.iter().map(|(key, value)| Row { key: key.clone(), value: value.clone() })
    }

    /// Holds the answers and the resulting state against the promises.
    pub(crate) fn judge(
        &mut self,
        commands: &[Command],
        answers: &[Result<Reply, Rejection>],
        queue: &Queue,
    ) {
        assert_eq!(commands.len(), answers.len());
        let mut horizon = MessageId(0);
        for (command, answer) in commands.iter().zip(answers) {
            match (command, answer) {
                (Command::Enqueue(batch), Ok(reply)) => self.judge_enqueue(batch, &[], reply),
                (Command::EnqueueShared { batch, tenants }, Ok(reply)) => {
                    self.judge_enqueue(batch, tenants, reply);
                }
                (Command::Enqueue(_) | Command::EnqueueShared { .. }, Err(rejection)) => {
                    self.judge_refusal(rejection);
                }
                (Command::Lease(request), Ok(Reply::Leased { messages })) => {
                    self.judge_lease(request, messages);
                }
                (Command::Settle(settle), Ok(Reply::Settled { outcomes })) => {
                    self.judge_settle(settle, outcomes);
                }
                (Command::CancelScheduled { message }, Ok(_)) => {
                    self.alive.remove(message).expect("a cancelled message was alive");
                }
                (Command::Discard { select: Select::One(message), .. }, Ok(_)) => {
                    self.alive.remove(message).expect("a discarded message was alive");
                }
                (Command::Purge { .. }, Ok(Reply::Purged { before, .. })) => {
                    self.doubt(|id, _| id < *before);
                    self.replays.purged();
                    horizon = horizon.max(*before);
                }
                (Command::CloseSession { .. } | Command::KeepSession { .. }, _) => self.doubt_sessions(),
                (Command::Redrive { .. }, Ok(_)) => self.redriven(),
                (Command::AckAndAppend(step), answer) => self.judge_step(step, answer),
                (Command::Move(step), answer) => self.judge_move(step, answer),
                (Command::Replay(step), answer) => self.judge_replay(step, &[], answer),
                (Command::ReplayShared { step, tenants }, answer) => {
                    self.judge_replay(step, tenants, answer);
                }
                (Command::AcceptTransfer(transfer), answer) => self.judge_transfer(transfer, &[], answer),
                (Command::AcceptTransferShared { transfer, tenants }, answer) => {
                    self.judge_transfer(transfer, tenants, answer);
                }
                (Command::SetPolicy { policy }, Ok(_)) => self.policy = policy.clone(),
                _ => self.judge_lineage(command, answer),
            }
        }
        self.time_passed();
        // A purge takes what it can; which messages is seen only now.
        self.alive.retain(|id, _| *id >= horizon || queue.message(*id).is_some());
        self.check_nothing_lost(queue);
        self.check_prefixes(queue);
        self.check_limits(queue);
        Self::check_explanations(queue);
        self.check_order(queue);
        self.check_outbox(queue);
        self.check_kept(queue);
        self.check_places(commands, queue);
        self.check_lineage(queue);
    }

    fn judge_enqueue(&mut self, batch: &Enqueue, tenants: &[TenantRun], reply: &Reply) {
        let Reply::Enqueued { first, count, duplicates, repeated } = reply else { panic!("{reply:?}") };
        assert_eq!(*count, batch.count);
        if *repeated {
            let original = self.batches.iter().find(|(known, _)| known.producer == batch.producer);
            let (_, original) = original.expect("P10: a repeat has an original");
            assert_eq!(first, original, "P10: a repeat gets the original ids");
            return;
        }
        if let Some(producer) = batch.producer {
            assert_eq!(producer.sequence, self.next_sequence, "P10: a batch is taken in sequence");
            self.next_sequence += batch.count;
            self.batches.push((batch.clone(), *first));
        }
        for duplicate in duplicates {
            self.judge_duplicate(batch, *first, duplicate);
        }
        assert!(!self.lineage.is_sealed(), "P15: a sealed partition takes {batch:?} in");
        assert_eq!(first.0, self.next_message, "message ids are dense");
        self.next_message += u64::from(*count);
        let dropped = duplicates.iter().map(|duplicate| duplicate.record).collect();
        self.add_messages(batch, tenants, *first, &dropped);
    }

    /// It names the message that first carried its id: from before, or from earlier in the batch.
    fn judge_duplicate(&self, batch: &Enqueue, first: MessageId, duplicate: &Duplicate) {
        let tagged = |record| batch.dedup.iter().find(move |tagged| tagged.record == record);
        let id = tagged(duplicate.record).expect("only a record with an id is a duplicate").id;
        let here = batch.dedup.iter().find(|tagged| tagged.id == id).map(|tagged| tagged.record);
        let known = self.ids.get(&id).filter(|(_, until)| self.at.lease_clock < *until);
        let original =
            known.map_or_else(|| MessageId(first.0 + u64::from(here.unwrap())), |(message, _)| *message);
        assert_eq!(duplicate.original, original, "a duplicate names the original");
    }

    fn add_messages(
        &mut self,
        batch: &Enqueue,
        tenants: &[TenantRun],
        first: MessageId,
        dropped: &BTreeSet<u32>,
    ) {
        let owners = self.owners(tenants, batch.count);
        let ttl = self.policy.ttl_ms.map(|ms| self.at.wall_clock + ms);
        let attributes =
            batch.runs.iter().flat_map(|run| std::iter::repeat_n(run.attributes, run.count as usize));
        for ((record, attributes), tenant) in (0..).zip(attributes).zip(owners) {
            let message = MessageId(first.0 + u64::from(record));
            let known = Known {
                deliver_at: attributes.deliver_at.unwrap_or_default(),
                ttl: attributes.expires_at.into_iter().chain(ttl).min().map_or(Ttl::None, Ttl::Until),
                key: attributes.key,
                priority: attributes.priority,
                tenant,
                attempts: 0,
                grant: None,
            };
            if !dropped.contains(&record) {
                let old = self.alive.insert(message, known);
                assert!(old.is_none(), "message {message} came twice");
                if let Some(tagged) = batch.dedup.iter().find(|tagged| tagged.record == record) {
                    self.ids.insert(tagged.id, (message, self.at.lease_clock + DEDUP_WINDOW_MS));
                }
            }
        }
    }

    fn judge_lease(&mut self, request: &Lease, messages: &[Granted]) {
        // An empty answer is not remembered: its retry may find something.
        let answered = |(known, messages): &&(Lease, Vec<Granted>)| {
            known.request == request.request && !messages.is_empty()
        };
        if let Some((_, earlier)) = self.leases.iter().find(answered)
            && self.at.lease_clock.0 < DEDUP_WINDOW_MS
        {
            // Extends may have moved a deadline since: message and lease are what a retry has to get again.
            for granted in messages {
                let same = |old: &Granted| (old.message, old.lease) == (granted.message, granted.lease);
                assert!(earlier.iter().any(same), "a retry gets {granted:?} after {earlier:?}");
            }
            return;
        }
        assert!(messages.len() <= request.max_messages as usize);
        for granted in messages {
            assert!(granted.lease > self.last_lease, "P5: lease {} after {}", granted.lease, self.last_lease);
            self.last_lease = granted.lease;
            self.judge_grant(*granted);
            self.judge_turn(granted);
            self.grants.push(*granted);
        }
        self.leases.push((request.clone(), messages.to_vec()));
    }

    fn judge_grant(&mut self, granted: Granted) {
        let id = granted.message;
        let known =
            self.alive.get_mut(&id).unwrap_or_else(|| panic!("P2, P8: message {id} is gone, and delivered"));
        assert!(known.deliver_at <= self.at.wall_clock, "P8: message {id} before {}", known.deliver_at);
        let waits = self.policy.fifo && self.lineage.awaits(known.key);
        assert!(!waits, "P15: message {id} is delivered before a parent is done with its key");
        if let Ttl::Until(expires_at) = known.ttl {
            assert!(self.at.wall_clock < expires_at, "message {id} is delivered after its TTL");
        }
        assert!(
            granted.attempt <= self.policy.attempts_max,
            "P7: attempt {} of message {id}",
            granted.attempt
        );
        assert!(granted.attempt <= known.attempts + 1, "message {id} jumps to attempt {}", granted.attempt);
        known.attempts = granted.attempt;
        if let Some((earlier, Running::Surely)) = known.grant {
            panic!("P3: message {id} is granted under {} while {} runs", granted.lease, earlier.lease);
        }
        known.grant = Some((granted, Running::Surely));
    }

    fn judge_settle(&mut self, settle: &Settle, outcomes: &[Settled]) {
        let answered = |(known, _): &&(Settle, Vec<Settled>)| {
            settle.request.is_some() && known.request == settle.request
        };
        if let Some((_, earlier)) = self.settles.iter().find(answered)
            && self.at.lease_clock.0 < DEDUP_WINDOW_MS
        {
            assert_eq!(outcomes, earlier, "a repeated settle gets the same answer");
            return;
        }
        for (item, outcome) in settle.items.iter().zip(outcomes) {
            self.judge_outcome(item, *outcome);
        }
        self.settles.push((settle.clone(), outcomes.to_vec()));
    }

    fn judge_outcome(&mut self, item: &SettleItem, outcome: Settled) {
        let id = item.message;
        let Some(known) = self.alive.get_mut(&id) else {
            assert_eq!(outcome, Settled::LeaseLost, "P2: message {id} is gone, and settled again");
            return;
        };
        let Some((granted, running)) = known.grant.filter(|(granted, _)| granted.lease == item.lease) else {
            assert_eq!(outcome, Settled::LeaseLost, "P6: a superseded settle of message {id} succeeds");
            return;
        };
        if outcome == Settled::LeaseLost {
            assert_ne!(running, Running::Surely, "the lease {} of message {id} runs", granted.lease);
            return;
        }
        let mut granted = granted;
        match (&item.action, outcome) {
            (Action::Ack, Settled::Done) => {
                self.alive.remove(&id);
                self.replays.acked(self.at, &self.policy, id);
                return;
            }
            (Action::Extend { .. }, Settled::Extended { deadline }) => {
                granted.deadline = deadline;
                known.grant = Some((granted, Running::Surely));
                return;
            }
            (Action::Nack { .. }, Settled::Done | Settled::Parked)
            | (Action::Release, Settled::Done)
            | (Action::Reject { .. }, Settled::Parked) => {}
            other => panic!("{other:?}"),
        }
        known.grant = Some((granted, Running::Perhaps));
        let key = known.key;
        if self.policy.fifo {
            self.doubt_later(key, id);
        }
    }

    /// What returned may have revoked later leases of its key.
    fn doubt_later(&mut self, key: Option<KeyHash>, id: MessageId) {
        self.doubt(|later, known| later >= id && known.key == key);
    }

    /// Leases that belong to no session go on whatever happens to sessions.
    fn doubt_sessions(&mut self) {
        let bound: BTreeSet<LeaseId> = self
            .leases
            .iter()
            .filter(|(request, _)| request.session.is_some())
            .flat_map(|(_, messages)| messages.iter().map(|granted| granted.lease))
            .collect();
        let fifo = self.policy.fifo;
        self.doubt(|_, known| fifo || known.grant.is_some_and(|(granted, _)| bound.contains(&granted.lease)));
    }

    /// A redrive resets attempts and TTL of messages that were parked, and may revoke in a FIFO queue.
    fn redriven(&mut self) {
        for known in self.alive.values_mut() {
            let perhaps =
                known.grant.is_none_or(|(_, running)| running == Running::Perhaps) || self.policy.fifo;
            if perhaps {
                if known.ttl != Ttl::None {
                    known.ttl = Ttl::Unknown;
                }
                known.grant = known.grant.map(|(granted, _)| (granted, Running::Perhaps));
            }
        }
    }

    /// At the end of an entry due timers have fired.
    fn time_passed(&mut self) {
        let now = self.at.lease_clock;
        let mut returned = Vec::new();
        for (id, known) in &mut self.alive {
            if let Some((granted, running)) = &mut known.grant
                && granted.deadline <= now
            {
                *running = Running::Perhaps;
                returned.push((known.key, *id));
            }
        }
        // Sessions lost earlier may end now, without a command.
        if now.0 >= SESSION_GRACE_MS {
            self.doubt_sessions();
        }
        if self.policy.fifo {
            for (key, id) in returned {
                self.doubt_later(key, id);
            }
        }
    }

    /// Leases of which nobody can say from outside whether they still run.
    fn doubt(&mut self, doubtful: impl Fn(MessageId, &Known) -> bool) {
        for (id, known) in &mut self.alive {
            if doubtful(*id, known) {
                known.grant = known.grant.map(|(granted, _)| (granted, Running::Perhaps));
            }
        }
    }

    /// P1: every message that came in is there, unless it was acked, discarded, cancelled, purged or is too old.
    fn check_nothing_lost(&mut self, queue: &Queue) {
        let there: BTreeSet<MessageId> =
            queue.peek(MessageId(0), 1_000).into_iter().map(|view| view.message).collect();
        for id in &there {
            assert!(self.alive.contains_key(id), "message {id} is gone, and there");
        }
        let now = self.at.wall_clock;
        self.alive.retain(|id, known| {
            let may_expire = match known.ttl {
                Ttl::None => false,
                Ttl::Until(time) => time <= now,
                Ttl::Unknown => true,
            };
            assert!(there.contains(id) || may_expire, "P1: message {id} is lost: {known:?}");
            there.contains(id)
        });
    }

    /// What nothing keeps can be leased, and nothing else.
    fn check_explanations(queue: &Queue) {
        let next: BTreeSet<MessageId> =
            queue.next_ready(1_000).into_iter().map(|view| view.message).collect();
        for view in queue.peek(MessageId(0), 1_000) {
            let explanation = queue.explain(view.message);
            let limited = matches!(explanation.hold, Hold::PartitionLimit | Hold::SessionLimit);
            let kept = explanation.hold != Hold::Nothing && !limited;
            assert_eq!(kept, !next.contains(&view.message), "{view:?}: {explanation:?}, next {next:?}");
            assert_eq!(explanation.message, Some(view), "it is explained as it is");
        }
    }

    /// No more is leased than the settings allow, in all and by one session.
    fn check_limits(&self, queue: &Queue) {
        let in_all = self.policy.max_inflight.map_or(u64::MAX, u64::from);
        assert!(queue.stats().leased <= in_all, "{} leased, {in_all} allowed", queue.stats().leased);
        let each = self.policy.max_inflight_per_session.map_or(usize::MAX, |max| max as usize);
        for session in queue.sessions() {
            let held = queue.leased_by(session).count();
            assert!(held <= each, "session {session} holds {held}, {each} allowed");
        }
        let room = queue.leasable_by(None) > 0;
        let full = queue.stats().leased == in_all;
        assert_eq!(room, !full && !queue.next_ready(1).is_empty(), "what can be leased");
    }

    /// P4, and the attempts of whatever is in the queue (P7).
    fn check_prefixes(&self, queue: &Queue) {
        let mut keys: BTreeMap<Option<KeyHash>, (u32, bool)> = BTreeMap::new();
        for view in queue.peek(MessageId(0), 1_000) {
            assert!(view.attempts <= self.policy.attempts_max, "P7: {view:?}");
            let (leased, broken) = keys.entry(view.key).or_default();
            match view.state {
                MessageState::Leased { .. } => {
                    assert!(!self.policy.fifo || !*broken, "P4: {view:?} is leased out of turn");
                    *leased += 1;
                    let max = self.policy.max_inflight_per_key;
                    assert!(!self.policy.fifo || *leased <= max, "P4: {leased} leased of {:?}", view.key);
                }
                MessageState::Parked { holds_key, .. } => *broken |= holds_key,
                _ => *broken = true,
            }
        }
    }

    /// A full queue, a blocked key, a seal and a repeat that is out of the window are the only reasons to refuse a
    /// well-formed batch.
    fn judge_refusal(&self, rejection: &Rejection) {
        let expected = match rejection {
            Rejection::QueueFull { .. } | Rejection::OutOfSequence { .. } => true,
            Rejection::Sealed => self.lineage.is_sealed(),
            Rejection::KeyBlocked { message, .. } => {
                let blocks = self.policy.fifo && self.policy.park == ParkPolicy::BlockKey;
                blocks && self.alive.contains_key(message)
            }
            _ => false,
        };
        assert!(expected, "{rejection}");
    }
}
