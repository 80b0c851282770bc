//! Every way that two consumers, two messages, lost answers, retries, a new leader, restores and time can be interleaved,
//! within bounds: in each state that can be reached, P2 to P7 hold (`semantics`: at most one holder, none after an ack,
//! rising leases, refused latecomers, FIFO, attempts), and tenants take turns. The walk is stateright's.
//!
//! A state holds the rows of the partition alone: each step restores the machine from them, so that a restore lies
//! before every entry.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use stateright::{Checker, Model, Property};
use weir_queue::{
    Action, Attributes, Command, Enqueue, Granted, Lease, Queue, Reply, Run, Select, SessionEnding, Settle,
    SettleItem, Settled, TenantRun,
};
use weir_types::{
    At, KeyHash, LeaseClock, LeaseId, LogIndex, MessageId, Output, QueuePolicy, RequestId, Row, SessionId,
    TenantHash, Term, WallClock,
};

const LEASE_MS: u64 = 4_000;
const ATTEMPTS_MAX: u32 = 2;
/// The first consumer works in a session, the other one without.
const SESSION: SessionId = SessionId(7);

/// What is explored, and how far.
struct Walk {
    fifo: bool,
    /// Each message is another tenant's.
    shared: bool,
    leases_max: u64,
    /// How often a lease may pass.
    pauses_max: u32,
}

/// One step of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// A consumer asks for one message, and the answer is lost.
    Lease { consumer: u8 },
    /// It repeats its last request, and hears the answer.
    LeaseAgain { consumer: u8 },
    /// Somebody acks or nacks what it was once given, for the first time or again.
    Settle { message: MessageId, lease: LeaseId, ack: bool },
    /// A lease passes.
    Pause,
    /// The node that leads is replaced: sessions are lost.
    NewLeader,
    /// An operator makes a dead letter ready again.
    Redrive { message: MessageId },
}

/// What consumers were told of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Told {
    /// The lease under which it was acked.
    acked: Option<LeaseId>,
    /// The last grant that nothing has ended but, perhaps, time.
    held: Option<(LeaseId, LeaseClock)>,
    /// It was redriven: an operator may do that once.
    redriven: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    term: Term,
    now: LeaseClock,
    /// Which messages are dead letters now.
    parked: [bool; 2],
    told: [Told; 2],
    /// Every grant that somebody heard of.
    grants: BTreeSet<(MessageId, LeaseId)>,
    last_lease: LeaseId,
    /// In a shared queue, the message that had the last turn.
    last_turn: Option<MessageId>,
    requests: [Option<RequestId>; 2],
    leases: u64,
    pauses: u32,
    leaders: u32,
    broken: Option<String>,
}

impl State {
    fn commit(&mut self, command: Command) -> Result<Reply, weir_queue::Rejection> {
        let rows = self.rows.iter().map(|(key, value)| Row { key: key.clone(), value: value.clone() });
        self.apply(Queue::restore(rows).unwrap(), command)
    }

    fn apply(&mut self, mut queue: Queue, command: Command) -> Result<Reply, weir_queue::Rejection> {
        // All entries have the same index: a step that changes nothing leads to a state that is known.
        let at = At { term: self.term, index: LogIndex(1), lease_clock: self.now, wall_clock: WallClock(0) };
        let mut out = Output::default();
        let answer = queue.apply(at, command, &mut out).unwrap();
        for change in out.changes {
            match change.value {
                Some(value) => self.rows.insert(change.key, value),
                None => self.rows.remove(&change.key),
            };
        }
        let parked = queue.parked(None, MessageId(0), 2);
        self.parked = [0, 1].map(|id| parked.iter().any(|view| view.message.0 == id));
        answer
    }

    /// What could be handed out now.
    fn waiting(&self) -> Vec<MessageId> {
        let rows = self.rows.iter().map(|(key, value)| Row { key: key.clone(), value: value.clone() });
        Queue::restore(rows).unwrap().next_ready(2).into_iter().map(|view| view.message).collect()
    }

    fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    fn told(&mut self, message: MessageId) -> &mut Told {
        &mut self.told[message.0 as usize]
    }
}

fn batch(fifo: bool) -> Enqueue {
    let attributes = Attributes { key: fifo.then_some(KeyHash(1)), ..Attributes::default() };
    Enqueue {
        position: 0,
        length: 81,
        count: 2,
        bytes: 20,
        producer: None,
        runs: vec![Run { count: 2, attributes }],
        dedup: Vec::new(),
    }
}

impl Walk {
    fn lease(&self, state: &mut State, consumer: u8, request: RequestId, heard: bool) {
        let now = state.now;
        let waiting = state.waiting();
        let lease = Lease {
            request,
            session: (consumer == 0).then_some(SESSION),
            max_messages: 1,
            max_bytes: u64::MAX,
            lease_ms: None,
        };
        // A session that is over takes nothing; its consumer opens another one, which is no matter here.
        let Ok(reply) = state.commit(Command::Lease(lease)) else { return };
        let Reply::Leased { messages } = reply else { unreachable!("a lease is answered by messages") };
        for granted in messages {
            self.granted(state, now, &waiting, granted);
            if heard {
                state.grants.insert((granted.message, granted.lease));
            }
        }
    }

    fn granted(&self, state: &mut State, now: LeaseClock, waiting: &[MessageId], granted: Granted) {
        let Granted { message, lease, attempt, deadline, .. } = granted;
        let told = *state.told(message);
        let is_repeated = told.held.is_some_and(|(held, _)| held == lease);
        if let Some(acked) = told.acked {
            state.breaks(format!("P2: {message} was acked under {acked} and is delivered under {lease}"));
        }
        if attempt > ATTEMPTS_MAX {
            state.breaks(format!("P7: {message} is delivered for the {attempt}th time"));
        }
        if is_repeated {
            return;
        }
        if let Some((held, _)) = told.held.filter(|(_, until)| now < *until) {
            state.breaks(format!("P3: {message} is held under {held} and granted under {lease}"));
        }
        if lease <= state.last_lease {
            state.breaks(format!("P5: lease {lease} after lease {}", state.last_lease));
        }
        let first = state.told[0];
        if self.fifo && message.0 == 1 && first.acked.is_none() && !state.parked[0] {
            state.breaks("P4: the second of a key is delivered before the first is done".to_owned());
        }
        if self.shared {
            if state.last_turn == Some(message) && waiting.iter().any(|other| *other != message) {
                state.breaks(format!("the tenant of {message} has two turns while another one waits"));
            }
            state.last_turn = Some(message);
        }
        state.last_lease = lease;
        state.told(message).held = Some((lease, deadline));
    }

    fn settle(state: &mut State, message: MessageId, lease: LeaseId, ack: bool) {
        let now = state.now;
        // One that is repeated carries the id of the first.
        let request = RequestId(1_000 * (1 + u64::from(ack)) + lease.0);
        let action = if ack { Action::Ack } else { Action::Nack { delay_ms: None } };
        let items = vec![SettleItem { message, lease, action }];
        let reply = state.commit(Command::Settle(Settle { request: Some(request), items })).unwrap();
        let Reply::Settled { outcomes } = reply else { unreachable!("a settle is answered by outcomes") };
        let told = *state.told(message);
        let holds = told.held.is_some_and(|(held, _)| held == lease);
        match outcomes[0] {
            Settled::LeaseLost => {
                if holds && told.held.is_some_and(|(_, until)| now < until) {
                    state.breaks(format!("P3: the lease {lease} of {message} runs, and is refused"));
                }
            }
            _ if ack => {
                let again = told.acked == Some(lease);
                if !holds && !again {
                    state.breaks(format!("P6: {message} is acked under {lease}, which somebody superseded"));
                }
                let told = state.told(message);
                told.acked = Some(lease);
                told.held = None;
            }
            _ => {
                if holds {
                    state.told(message).held = None;
                }
            }
        }
    }
}

impl Model for Walk {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let policy = QueuePolicy {
            fifo: self.fifo,
            lease_ms: LEASE_MS,
            attempts_max: ATTEMPTS_MAX,
            fair_by: self.shared.then(|| "tenant".to_owned()),
            ..QueuePolicy::default()
        };
        let mut state = State {
            rows: BTreeMap::new(),
            term: Term(1),
            now: LeaseClock(0),
            parked: [false; 2],
            told: [Told::default(); 2],
            grants: BTreeSet::new(),
            last_lease: LeaseId(0),
            last_turn: None,
            requests: [None; 2],
            leases: 0,
            pauses: 0,
            leaders: 0,
            broken: None,
        };
        let queue = Queue::new(policy, LeaseId(0));
        state.apply(queue, Command::OpenSession { session: SESSION }).unwrap();
        let of = |tenant| TenantRun { count: 1, tenant: NonZeroU64::new(tenant).map(TenantHash) };
        let tenants = if self.shared { vec![of(1), of(2)] } else { Vec::new() };
        state.commit(Command::enqueue(batch(self.fifo), tenants)).unwrap();
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.broken.is_some() {
            return;
        }
        for consumer in 0..2 {
            if state.leases < self.leases_max {
                steps.push(Step::Lease { consumer });
            }
            if state.requests[usize::from(consumer)].is_some() {
                steps.push(Step::LeaseAgain { consumer });
            }
        }
        for (message, lease) in &state.grants {
            let (message, lease) = (*message, *lease);
            steps.extend([true, false].map(|ack| Step::Settle { message, lease, ack }));
        }
        if state.pauses < self.pauses_max {
            steps.push(Step::Pause);
        }
        if state.leaders == 0 {
            steps.push(Step::NewLeader);
        }
        let parked = (0..2).filter(|id| state.parked[*id] && !state.told[*id].redriven);
        steps.extend(parked.map(|id| Step::Redrive { message: MessageId(id as u64) }));
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Lease { consumer } => {
                state.leases += 1;
                let request = RequestId(100 * (1 + u64::from(consumer)) + state.leases);
                state.requests[usize::from(consumer)] = Some(request);
                self.lease(&mut state, consumer, request, false);
            }
            Step::LeaseAgain { consumer } => {
                let request = state.requests[usize::from(consumer)]?;
                self.lease(&mut state, consumer, request, true);
            }
            Step::Settle { message, lease, ack } => Self::settle(&mut state, message, lease, ack),
            Step::Pause => {
                state.pauses += 1;
                state.now = state.now + LEASE_MS;
                state.commit(Command::Tick).unwrap();
            }
            Step::NewLeader => {
                state.leaders += 1;
                state.term = Term(state.term.0 + 1);
                let ending = SessionEnding::Lost;
                state.commit(Command::CloseSession { session: SESSION, ending }).unwrap();
            }
            Step::Redrive { message } => {
                state.told(message).redriven = true;
                state.commit(Command::Redrive { select: Select::One(message), max: 1 }).unwrap();
                if self.fifo && message.0 == 0 {
                    // It is back in its place, and what was leased behind it is revoked.
                    state.told(MessageId(1)).held = None;
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("P2 to P7", |_, state: &State| state.broken.is_none()),
            Property::sometimes("a message is acked late, under a lease that ran out", |_, state: &State| {
                state.told.iter().any(|told| told.acked.is_some()) && state.pauses >= 1
            }),
            Property::sometimes("a message is parked", |_, state: &State| state.parked[0]),
            Property::sometimes("both are done", |_, state: &State| {
                state.told.iter().all(|told| told.acked.is_some())
            }),
        ]
    }
}

fn explore(walk: Walk) {
    let explored = walk.checker().threads(2).spawn_bfs().join();
    if let Some(path) = explored.discovery("P2 to P7") {
        let broken = path.last_state().broken.clone();
        panic!("{broken:?} after {:?}", path.into_actions());
    }
    explored.assert_properties();
}

#[test]
fn no_interleaving_breaks_a_promise_of_a_queue() {
    explore(Walk { fifo: false, shared: false, leases_max: 2, pauses_max: 2 });
}

#[test]
fn no_interleaving_breaks_a_promise_of_a_queue_that_tenants_share() {
    explore(Walk { fifo: false, shared: true, leases_max: 3, pauses_max: 1 });
}

#[test]
fn no_interleaving_breaks_a_promise_of_a_fifo_queue() {
    explore(Walk { fifo: true, shared: false, leases_max: 3, pauses_max: 1 });
}
