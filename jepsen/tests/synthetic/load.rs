//! What the clients of the run did.

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use weir_checker::{Consumer, Delivery, Event, How, MessageId, Micros, Op, Outcome, Process, Terms, Value};

use super::SECOND;
use super::cluster::{Cluster, PARTITIONS};

const CLIENTS: u32 = 20;
const QUEUE: &str = "orders";
const STREAM: &str = "audit";
/// How long a client waits for an answer.
const DEADLINE: Micros = 2 * SECOND;

/// The two promises that this run breaks.
pub(crate) struct Broken {
    /// A message that came once more after it was acked.
    pub(crate) redelivered: Promise,
    /// A record that was acknowledged and that no poll brings.
    pub(crate) lost: Promise,
}

/// A broken promise, and the operations that prove it.
#[derive(Default)]
pub(crate) struct Promise {
    pub(crate) topic: &'static str,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) proof: Vec<Event>,
}

pub(crate) struct Load<'a> {
    cluster: &'a Cluster,
    dice: SmallRng,
    per_second: u64,
    events: Vec<Event>,
    processes: Vec<u32>,
    /// When each client has nothing under way any more.
    free: Vec<Micros>,
    sequences: Vec<u64>,
    /// Of each partition of the queue and the stream: what comes next, and what nobody has had yet.
    next: [u64; 5],
    waiting: Vec<VecDeque<(Micros, MessageId, Value)>>,
    broken: Broken,
}

impl<'a> Load<'a> {
    pub(crate) fn new(cluster: &'a Cluster, per_second: u64) -> Self {
        Self {
            cluster,
            dice: SmallRng::seed_from_u64(7),
            per_second,
            events: Vec::new(),
            processes: (1..=CLIENTS).collect(),
            free: vec![0; CLIENTS as usize],
            sequences: vec![0; CLIENTS as usize],
            next: [0; 5],
            waiting: vec![VecDeque::new(); PARTITIONS.len()],
            broken: Broken { redelivered: Promise::default(), lost: Promise::default() },
        }
    }

    pub(crate) fn finish(self) -> (Vec<Event>, Broken) {
        (self.events, self.broken)
    }

    pub(crate) fn run(&mut self) {
        let step = SECOND / self.per_second;
        let mut at = SECOND / 2;
        while at < self.cluster.length - 2 * SECOND {
            at += self.dice.random_range(1..=2 * step);
            let partition = self.dice.random_range(0..PARTITIONS.len());
            let writes =
                at < self.cluster.length * 78 / 100 || (81..92).contains(&(at * 100 / self.cluster.length));
            match (self.dice.random_range(0..10), PARTITIONS[partition].0 == QUEUE) {
                (0..4, true) if writes => self.enqueue(at, partition),
                (0..4, false) if writes => self.append(at, partition),
                (_, true) => self.receive(at, partition),
                (_, false) => self.poll(at, partition),
            }
        }
    }

    /// When an operation that begins now ends, and how.
    fn outcome(&mut self, at: Micros, partition: usize) -> (Option<Micros>, Outcome) {
        let usual = self.dice.random_range(900..1_800) * self.cluster.slowness(at);
        let took = match self.dice.random_range(0..100) {
            0 => usual * 12,
            1..20 => usual * self.dice.random_range(2..5),
            _ => usual,
        };
        let Some(leaderless) = self.cluster.leaderless(partition, at) else {
            return (Some(at + took), Outcome::Ok);
        };
        match self.dice.random_range(0..10) {
            0..3 => (Some(at + took * 4), Outcome::Fail),
            3..5 => (None, Outcome::Info),
            _ if leaderless < DEADLINE => (Some(at + leaderless + took), Outcome::Ok),
            _ => (Some(at + DEADLINE), Outcome::Fail),
        }
    }

    fn push(
        &mut self,
        client: usize,
        (from, to): (Micros, Option<Micros>),
        partition: usize,
        op: Op,
        outcome: Outcome,
    ) {
        let error = match outcome {
            Outcome::Ok => None,
            Outcome::Fail => Some("no-leader: the partition has no leader at the moment".to_owned()),
            Outcome::Info => Some("outcome-unknown: no answer within 2 s".to_owned()),
        };
        let process = Process(self.processes[client]);
        if outcome == Outcome::Info {
            self.processes[client] += CLIENTS;
        }
        self.free[client] = to.unwrap_or(from + DEADLINE) + 1;
        let node = Some(self.cluster.leader(partition, from).to_owned());
        self.events.push(Event { from, to, process, node, op, outcome, error });
    }

    /// Any client that has nothing under way. The last one only ever has what should not be there.
    fn idle(&mut self, at: Micros) -> Option<usize> {
        let first = self.dice.random_range(0..CLIENTS as usize - 1);
        let mut clients = (first..CLIENTS as usize - 1).chain(0..first);
        clients.find(|client| self.free[*client] <= at)
    }

    fn write(
        &mut self,
        at: Micros,
        partition: usize,
    ) -> Option<(usize, Value, Option<Micros>, Outcome, MessageId)> {
        let client = self.idle(at)?;
        let value = Value { producer: client as u32 + 1, sequence: self.sequences[client] };
        self.sequences[client] += 1;
        let (to, outcome) = self.outcome(at, partition);
        let id = MessageId { partition: PARTITIONS[partition].1, id: self.next[partition] };
        if outcome != Outcome::Fail {
            self.next[partition] += 1;
            self.waiting[partition].push_back((to.unwrap_or(at + SECOND), id, value));
        }
        Some((client, value, to, outcome, id))
    }

    fn enqueue(&mut self, at: Micros, partition: usize) {
        let Some((client, value, to, outcome, id)) = self.write(at, partition) else { return };
        let at_id = (outcome == Outcome::Ok).then_some(id);
        let op = Op::Enqueue { topic: QUEUE.to_owned(), value, terms: Terms::default(), at: at_id };
        self.push(client, (at, to), partition, op, outcome);
    }

    fn append(&mut self, at: Micros, partition: usize) {
        let Some((client, value, to, outcome, id)) = self.write(at, partition) else { return };
        let place = (outcome == Outcome::Ok).then_some((id.partition, id.id));
        let op = Op::Append { topic: STREAM.to_owned(), values: vec![value], key: None, at: place };
        self.push(client, (at, to), partition, op, outcome);
        if self.broken.lost.proof.is_empty()
            && outcome == Outcome::Ok
            && at > self.cluster.length * 205 / 1000
        {
            // It was acknowledged by a leader that was cut off, and the next one never had it.
            self.waiting[partition].pop_back();
            self.broken.lost = Promise {
                topic: STREAM,
                subject: format!("{id} ({value})"),
                text: format!("{value} was acknowledged at offset {}, and a poll passed over it", id.id),
                proof: self.events.last().cloned().into_iter().collect(),
            };
        }
    }

    /// What a partition has for a consumer at this moment.
    fn take(&mut self, at: Micros, partition: usize, most: usize) -> Vec<(MessageId, Value)> {
        let mut taken = Vec::new();
        while taken.len() < most && self.waiting[partition].front().is_some_and(|(ready, _, _)| *ready <= at)
        {
            taken.extend(self.waiting[partition].pop_front().map(|(_, id, value)| (id, value)));
        }
        taken
    }

    fn receive(&mut self, at: Micros, partition: usize) {
        let Some(client) = self.idle(at) else { return };
        let consumer = Consumer(client as u32 + 1);
        let (to, outcome) = self.outcome(at, partition);
        let taken = if outcome == Outcome::Ok { self.take(at, partition, 8) } else { Vec::new() };
        let lease = self.events.len() as u64;
        let grant = |(message, value): &(MessageId, Value)| Delivery {
            message: *message,
            value: Some(*value),
            lease,
            attempt: 1,
            held: Some(5 * SECOND),
        };
        let deliveries: Vec<_> = taken.iter().map(grant).collect();
        let op = Op::Receive { topic: QUEUE.to_owned(), consumer, deliveries: deliveries.clone() };
        self.push(client, (at, to), partition, op, outcome);
        let received = self.events.last().cloned();
        for delivery in deliveries {
            let from = self.free[client] + self.dice.random_range(500..9_000);
            let (to, outcome) = self.outcome(from, partition);
            let how = if self.dice.random_bool(0.02) { How::Nack } else { How::Ack };
            let op = Op::Settle { topic: QUEUE.to_owned(), consumer, message: delivery.message, lease, how };
            self.push(client, (from, to), partition, op, outcome);
            let due = self.broken.redelivered.proof.is_empty() && at > self.cluster.length * 265 / 1000;
            if due && how == How::Ack && outcome == Outcome::Ok {
                self.redeliver(partition, delivery, received.clone());
            }
        }
    }

    /// The acked message comes to another consumer after the next failover, and is acked there once more.
    fn redeliver(&mut self, partition: usize, delivery: Delivery, received: Option<Event>) {
        let acked = self.events.last().cloned();
        let from = self.cluster.length * 290 / 1000;
        let again = Delivery { lease: delivery.lease + 2, attempt: 2, ..delivery };
        let (topic, consumer, client) = (QUEUE.to_owned(), Consumer(CLIENTS), CLIENTS as usize - 1);
        let op = Op::Receive { topic: topic.clone(), consumer, deliveries: vec![again] };
        self.push(client, (from, Some(from + 1_700)), partition, op, Outcome::Ok);
        let redelivered = self.events.last().cloned();
        let op = Op::Settle { topic, consumer, message: again.message, lease: again.lease, how: How::Ack };
        self.push(client, (from + 9_000, None), partition, op, Outcome::Info);
        self.broken.redelivered = Promise {
            topic: QUEUE,
            subject: again.message.to_string(),
            text: format!(
                "acked under lease {} and delivered again under lease {}",
                delivery.lease, again.lease
            ),
            proof: [received, acked, redelivered].into_iter().flatten().collect(),
        };
    }

    fn poll(&mut self, at: Micros, partition: usize) {
        let Some(client) = self.idle(at) else { return };
        let (to, outcome) = self.outcome(at, partition);
        let taken = if outcome == Outcome::Ok { self.take(at, partition, 50) } else { Vec::new() };
        let offset = taken.first().map_or(self.next[partition], |(id, _)| id.id);
        let records = taken.iter().map(|(id, value)| (id.id, Some(*value))).collect();
        let op = Op::Poll {
            topic: STREAM.to_owned(),
            consumer: Consumer(client as u32 + 1),
            group: None,
            partition: PARTITIONS[partition].1,
            offset,
            records,
        };
        self.push(client, (at, to), partition, op, outcome);
    }
}
