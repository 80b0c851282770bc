//! A queue that tenants share, against a model that predicts each of its answers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use proptest::collection::vec;
use proptest::prelude::*;
use weir_queue::{
    Action, Attributes, Command, Enqueue, Lease, Queue, Reply, Run, Select, Settle, SettleItem, Settled,
    TenantRun,
};
use weir_types::{
    At, KeyHash, LeaseClock, LeaseId, LogIndex, MessageId, Output, QueuePolicy, RequestId, Row, RowChange,
    TenantHash, Term, WallClock,
};

use turns::{LastTurns, Rank, Tenant, Waiting};

const ATTEMPTS_MAX: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Tenant (0 for none), priority and key of each record.
    Enqueue(Vec<(u8, u8, u32)>),
    Lease(u32),
    /// Which of the leased messages, counted from the first, and what becomes of it.
    Settle(u8, Action),
    Redrive,
    /// Whether tenants are seen from now on.
    Share(bool),
}

fn steps() -> impl Strategy<Value = Step> {
    let record = (0..5_u8, prop_oneof![3 => Just(0_u8), 1 => 0..3_u8], 0..3_u32);
    let action = prop_oneof![
        4 => Just(Action::Ack),
        2 => Just(Action::Release),
        1 => Just(Action::Nack { delay_ms: Some(0) }),
        1 => Just(Action::Reject { reason: String::new() }),
    ];
    prop_oneof![
        4 => vec(record, 1..6).prop_map(Step::Enqueue),
        6 => (1..6_u32).prop_map(Step::Lease),
        6 => (any::<u8>(), action).prop_map(|(pick, action)| Step::Settle(pick, action)),
        1 => Just(Step::Redrive),
        1 => any::<bool>().prop_map(Step::Share),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Leased(LeaseId),
    Parked,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    rank: Rank,
    tenant: Tenant,
    key: u32,
    state: State,
    attempts: u32,
}

/// What the queue should be, by looking at everything.
struct Model {
    policy: QueuePolicy,
    messages: BTreeMap<MessageId, Known>,
    turns: LastTurns,
    next: u64,
    /// By rank and tenant: who has had a ready message of that rank ever since the tenant's last turn, and no turn.
    owed: BTreeMap<(Rank, Tenant), BTreeSet<Tenant>>,
}

impl Model {
    fn enqueue(&mut self, records: &[(u8, u8, u32)]) {
        for (number, priority, key) in records {
            let rank = if self.policy.fifo { 0 } else { 9 - priority };
            let tenant = tenant(*number).filter(|_| self.policy.fair_by.is_some());
            let known = Known { rank, tenant, key: *key, state: State::Ready, attempts: 0 };
            self.messages.insert(MessageId(self.next), known);
            self.next += 1;
        }
        self.time_passed();
    }

    /// What can be handed out: in a FIFO queue the first of each key, if the key has a lease to spare.
    fn waiting(&self) -> BTreeSet<Waiting> {
        let ready = self.messages.iter().filter(|(_, known)| known.state == State::Ready);
        let next = ready.filter(|(id, known)| !self.policy.fifo || self.may_go(**id, known.key));
        next.map(|(id, known)| (known.rank, known.tenant, *id)).collect()
    }

    fn may_go(&self, id: MessageId, key: u32) -> bool {
        let of_key = || self.messages.iter().filter(|(_, known)| known.key == key);
        let leased = of_key().filter(|(_, known)| matches!(known.state, State::Leased(_))).count();
        let first = of_key().find(|(_, known)| known.state == State::Ready).map(|(id, _)| *id);
        first == Some(id) && leased < self.policy.max_inflight_per_key as usize
    }

    fn lease(&mut self, max: u32, last_lease: LeaseId) -> Vec<MessageId> {
        let mut granted = Vec::new();
        while granted.len() < max as usize
            && let Some((rank, tenant, id)) = self.turns.next(&self.waiting())
        {
            granted.push(id);
            self.turns.served(rank, tenant);
            self.messages.get_mut(&id).unwrap().state =
                State::Leased(LeaseId(last_lease.0 + granted.len() as u64));
            self.note_turn(rank, tenant);
        }
        granted
    }

    /// Between two turns of a tenant whoever could have gone all the time has gone.
    fn note_turn(&mut self, rank: Rank, tenant: Tenant) {
        let passed_over = self.owed.remove(&(rank, tenant)).unwrap_or_default();
        assert!(passed_over.is_empty(), "{tenant:?} has another turn before {passed_over:?}");
        for ((of, _), owed) in &mut self.owed {
            if *of == rank {
                owed.remove(&tenant);
            }
        }
        let others = self.waiting().into_iter().filter(|it| it.0 == rank && it.1 != tenant);
        self.owed.insert((rank, tenant), others.map(|it| it.1).collect());
        self.time_passed();
    }

    fn time_passed(&mut self) {
        let ready: BTreeSet<_> = self.waiting().into_iter().map(|it| (it.0, it.1)).collect();
        for ((rank, _), owed) in &mut self.owed {
            owed.retain(|tenant| ready.contains(&(*rank, *tenant)));
        }
    }

    fn settle(&mut self, id: MessageId, action: &Action) {
        let known = self.messages.get_mut(&id).unwrap();
        known.attempts += u32::from(matches!(action, Action::Nack { .. }));
        known.state = match action {
            Action::Reject { .. } => State::Parked,
            _ if known.attempts >= ATTEMPTS_MAX => State::Parked,
            _ => State::Ready,
        };
        let (key, returns) = (known.key, known.state == State::Ready && *action != Action::Ack);
        if *action == Action::Ack {
            self.messages.remove(&id);
        }
        if returns {
            self.revoke_later(id, key);
        }
        self.time_passed();
    }

    fn redrive(&mut self) {
        for (id, key) in self.parked() {
            let known = self.messages.get_mut(&id).unwrap();
            (known.state, known.attempts) = (State::Ready, 0);
            self.revoke_later(id, key);
        }
        self.time_passed();
    }

    fn parked(&self) -> Vec<(MessageId, u32)> {
        let parked = self.messages.iter().filter(|(_, known)| known.state == State::Parked);
        parked.map(|(id, known)| (*id, known.key)).collect()
    }

    /// P4: what returns to its place takes the leases behind it away.
    fn revoke_later(&mut self, id: MessageId, key: u32) {
        if self.policy.fifo {
            for (_, later) in self.messages.range_mut(MessageId(id.0 + 1)..) {
                if later.key == key && matches!(later.state, State::Leased(_)) {
                    later.state = State::Ready;
                }
            }
        }
    }

    fn leased(&self) -> Vec<(MessageId, LeaseId)> {
        let leased = self.messages.iter().filter_map(|(id, known)| match known.state {
            State::Leased(lease) => Some((*id, lease)),
            _ => None,
        });
        leased.collect()
    }
}

fn tenant(number: u8) -> Tenant {
    NonZeroU64::new(u64::from(number)).map(TenantHash)
}

fn shared(fair: bool) -> Option<String> {
    fair.then(|| "tenant".to_owned())
}

/// The batch of some records, and the tenants that they name.
fn batch(records: &[(u8, u8, u32)]) -> (Enqueue, Vec<TenantRun>) {
    let runs = records.iter().map(|(_, priority, key)| {
        let attributes =
            Attributes { key: Some(KeyHash(*key)), priority: *priority, ..Attributes::default() };
        Run { count: 1, attributes }
    });
    let tenants = records.iter().map(|(number, ..)| TenantRun { count: 1, tenant: tenant(*number) });
    let count = records.len() as u32;
    let batch = Enqueue {
        position: 0,
        length: 100,
        count,
        bytes: 10 * u64::from(count),
        producer: None,
        runs: runs.collect(),
        dedup: Vec::new(),
    };
    (batch, tenants.collect())
}

/// A partition that restarts from its rows after each entry.
struct Partition {
    queue: Queue,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    at: At,
}

impl Partition {
    fn new(policy: QueuePolicy) -> Self {
        let at =
            At { term: Term(1), index: LogIndex(0), lease_clock: LeaseClock(0), wall_clock: WallClock(9) };
        Self { queue: Queue::new(policy, LeaseId(0)), rows: BTreeMap::new(), at }
    }

    fn apply(&mut self, command: Command) -> (Reply, Vec<RowChange>) {
        self.at.index = self.at.index.next();
        let mut out = Output::default();
        let reply = self.queue.apply(self.at, command, &mut out).unwrap().unwrap();
        self.queue.check_invariants();
        for change in out.changes.clone() {
            match change.value {
                Some(value) => self.rows.insert(change.key, value),
                None => self.rows.remove(&change.key),
            };
        }
        let rows = self.rows.iter().map(|(key, value)| Row { key: key.clone(), value: value.clone() });
        let restored = Queue::restore(rows).unwrap();
        assert_eq!(restored, self.queue, "the rows are the state");
        self.queue = restored;
        (reply, out.changes)
    }

    fn lease(&mut self, max_messages: u32) -> Vec<MessageId> {
        let request = RequestId(self.at.index.0);
        let (session, max_bytes, lease_ms) = (None, u64::MAX, None);
        match self.apply(Command::Lease(Lease { request, session, max_messages, max_bytes, lease_ms })).0 {
            Reply::Leased { messages } => messages.iter().map(|granted| granted.message).collect(),
            other => panic!("{other:?}"),
        }
    }
}

fn run(policy: QueuePolicy, history: Vec<Step>) {
    let mut partition = Partition::new(policy.clone());
    let (messages, turns, owed) = (BTreeMap::new(), LastTurns::default(), BTreeMap::new());
    let mut model = Model { policy, messages, turns, next: 0, owed };
    for step in history {
        match step {
            Step::Enqueue(records) => {
                let (batch, tenants) = batch(&records);
                partition.apply(Command::enqueue(batch, tenants));
                model.enqueue(&records);
            }
            Step::Lease(max) => {
                let last_lease = partition.queue.stats().last_lease;
                assert_eq!(partition.lease(max), model.lease(max, last_lease));
            }
            Step::Settle(pick, action) => {
                let leased = model.leased();
                let Some((message, lease)) = leased.get(usize::from(pick) % leased.len().max(1)) else {
                    continue;
                };
                let (message, lease) = (*message, *lease);
                model.settle(message, &action);
                let items = vec![SettleItem { message, lease, action }];
                let (reply, _) = partition.apply(Command::Settle(Settle { request: None, items }));
                let Reply::Settled { outcomes } = reply else { panic!("{reply:?}") };
                assert_ne!(outcomes[0], Settled::LeaseLost, "the model knows who holds message {message}");
            }
            Step::Redrive => {
                partition.apply(Command::Redrive { select: Select::All, max: 100 });
                model.redrive();
            }
            Step::Share(fair) => {
                model.policy.fair_by = shared(fair);
                partition.apply(Command::SetPolicy { policy: model.policy.clone() });
            }
        }
        let next: Vec<_> = partition.queue.next_ready(1_000).iter().map(|view| view.message).collect();
        assert_eq!(next, LastTurns::order(model.turns.clone(), model.waiting()), "what goes next");
        let few: Vec<_> = partition.queue.next_ready(2).iter().map(|view| view.message).collect();
        assert_eq!(few, next[..next.len().min(2)], "the first of them");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn between_two_turns_of_a_tenant_every_other_that_waits_has_one(
        fifo in any::<bool>(), inflight in 1..4_u32, fair in prop_oneof![4 => Just(true), 1 => Just(false)],
        history in vec(steps(), 1..80),
    ) {
        let policy = QueuePolicy {
            fifo,
            max_inflight_per_key: inflight,
            attempts_max: ATTEMPTS_MAX,
            fair_by: shared(fair),
            ..QueuePolicy::default()
        };
        run(policy, history);
    }

    #[test]
    fn a_queue_that_nobody_shares_is_the_same_whatever_tenants_messages_name(
        fifo in any::<bool>(), batches in vec(vec((0..5_u8, 0..10_u8, 0..3_u32), 1..6), 1..10)
    ) {
        let policy = QueuePolicy { fifo, ..QueuePolicy::default() };
        let (mut named, mut plain) = (Partition::new(policy.clone()), Partition::new(policy));
        for records in &batches {
            let (batch, tenants) = batch(records);
            let (_, changes) = named.apply(Command::enqueue(batch.clone(), tenants));
            assert_eq!(changes, plain.apply(Command::Enqueue(batch)).1, "the same bytes");
        }
        loop {
            let granted = plain.lease(3);
            assert_eq!(named.lease(3), granted);
            if granted.is_empty() {
                break;
            }
        }
        assert_eq!(named.rows, plain.rows);
    }
}

#[test]
fn tenants_that_come_late_wait_for_no_more_than_a_turn_of_each_other() {
    let mut partition = Partition::new(QueuePolicy { fair_by: shared(true), ..QueuePolicy::default() });
    let of = |tenant, count| {
        let (enqueue, _) = batch(&[(0, 0, 0)]);
        let attributes = Attributes::default();
        let runs = vec![Run { count, attributes }];
        Command::enqueue(Enqueue { count, runs, ..enqueue }, vec![TenantRun { count, tenant }])
    };
    for _ in 0..20 {
        partition.apply(of(tenant(1), 50_000));
    }
    partition.apply(of(tenant(2), 50));
    partition.apply(of(None, 50));
    let mut granted: Vec<MessageId> = Vec::new();
    while granted.len() < 150 {
        granted.extend(partition.lease(10));
    }
    let late = granted.iter().filter(|id| id.0 >= 1_000_000).count();
    assert_eq!(late, 100, "of 150 messages a third is each one's: {granted:?}");
    // A span and its places in line for each batch, a lease for each message that went.
    assert!(partition.queue.entries() < 1_000, "{} entries", partition.queue.entries());
}
