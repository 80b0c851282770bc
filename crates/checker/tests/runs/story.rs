//! Histories of whole runs for tests: load that goes on for minutes, faults, phases. Times are milliseconds.

use std::collections::BTreeMap;

use weir_checker::{
    Consumer, Delivery, Digested, Event, Fault, FaultPhase, Lost, MessageId, MessageState, Op, Outcome,
    Phase, Process, Terms, Value,
};

/// The stream and the queue.
const STREAM: &str = "s";
const QUEUE: &str = "q";

/// A run as it is told. Lines are put in the order of their ends when it is over.
#[derive(Clone, Default)]
pub(crate) struct Story {
    events: Vec<Event>,
    next: BTreeMap<u32, u64>,
}

impl Story {
    fn op(mut self, from: u64, to: Option<u64>, (process, op): (u32, Op), outcome: Outcome) -> Self {
        let error = (outcome != Outcome::Ok).then(|| "client-timeout: no answer in time".to_owned());
        self.events.push(Event {
            from: from * 1_000,
            to: to.map(|to| to * 1_000),
            process: Process(process),
            node: None,
            op,
            outcome,
            error,
        });
        self
    }

    fn note(self, at: u64, op: Op) -> Self {
        self.op(at, Some(at), (0, op), Outcome::Ok)
    }

    pub(crate) fn phase(self, at: u64, phase: Phase) -> Self {
        self.note(at, Op::Phase(phase))
    }

    pub(crate) fn fault(self, at: u64, (kind, id): (&str, u64), phase: FaultPhase, majority: bool) -> Self {
        self.fault_on(at, (kind, id, phase), majority, (1, 1))
    }

    pub(crate) fn fault_on(
        self,
        at: u64,
        (kind, id, phase): (&str, u64, FaultPhase),
        majority: bool,
        (led, followed): (u32, u32),
    ) -> Self {
        let kind = kind.to_owned();
        let (nodes, links, detail) = (vec!["n1".to_owned()], Vec::new(), String::new());
        self.note(at, Op::Fault(Fault { kind, id, phase, nodes, links, led, followed, majority, detail }))
    }

    /// Partition 0 of the stream was split.
    pub(crate) fn split(self, at: u64) -> Self {
        self.note(at, Op::Reshaped { topic: STREAM.to_owned(), parents: vec![0], children: vec![8, 9] })
    }

    pub(crate) fn lost(self, at: u64, lost: Lost) -> Self {
        self.note(at, Op::Lost(lost))
    }

    pub(crate) fn leader(self, at: u64, term: u64, leader: &str) -> Self {
        let leader = leader.to_owned();
        self.note(at, Op::Leader { topic: STREAM.to_owned(), partition: 0, term, leader })
    }

    /// A replica of partition 0 of the stream.
    pub(crate) fn replica(self, at: u64, node: &str, applied: u64) -> Self {
        let end = self.next.get(&0).copied().unwrap_or(0);
        self.note(
            at,
            Op::Digest(Digested {
                node: node.to_owned(),
                topic: STREAM.to_owned(),
                partition: 0,
                applied,
                hash: format!("h{applied}"),
                messages: Vec::new(),
                bounds: Some((0, end)),
            }),
        )
    }

    /// A replica of partition 0 of the queue, with the messages that are ready.
    pub(crate) fn holds(self, at: u64, ready: &[u64]) -> Self {
        self.note(
            at,
            Op::Digest(Digested {
                node: "n1".to_owned(),
                topic: QUEUE.to_owned(),
                partition: 0,
                applied: at,
                hash: format!("h{at}"),
                messages: ready.iter().map(|id| (*id, MessageState::Ready)).collect(),
                bounds: None,
            }),
        )
    }

    /// A record is appended and acknowledged.
    pub(crate) fn append(mut self, from: u64, to: u64, partition: u32) -> Self {
        let next = self.next.entry(partition).or_default();
        let offset = *next;
        *next += 1;
        let values = vec![Value { producer: partition, sequence: offset }];
        let op = Op::Append { topic: STREAM.to_owned(), values, key: None, at: Some((partition, offset)) };
        self.op(from, Some(to), (10 + partition, op), Outcome::Ok)
    }

    /// An append that nobody answers.
    pub(crate) fn unanswered(self, from: u64) -> Self {
        let values = vec![Value { producer: 99, sequence: from }];
        let op = Op::Append { topic: STREAM.to_owned(), values, key: None, at: None };
        self.op(from, None, (1_000 + from as u32, op), Outcome::Info)
    }

    /// A record every so often, each acknowledged after `latency`.
    pub(crate) fn load(self, (from, to): (u64, u64), every: u64, latency: u64, partition: u32) -> Self {
        let times = (from..to).step_by(every as usize);
        times.fold(self, |story, at| story.append(at, at + latency, partition))
    }

    /// Everything that was appended so far is read at once.
    pub(crate) fn read_all(self, from: u64, to: u64, partition: u32) -> Self {
        let end = self.next.get(&partition).copied().unwrap_or(0);
        self.read(from, to, partition, end)
    }

    pub(crate) fn read(self, from: u64, to: u64, partition: u32, end: u64) -> Self {
        let records = (0..end).map(|offset| (offset, Some(Value { producer: partition, sequence: offset })));
        self.poll(from, to, partition, records.collect(), Outcome::Ok)
    }

    /// A poll that is refused or gets no answer.
    pub(crate) fn unread(self, from: u64, to: u64, partition: u32) -> Self {
        self.poll(from, to, partition, Vec::new(), Outcome::Fail)
    }

    fn poll(
        self,
        from: u64,
        to: u64,
        partition: u32,
        records: Vec<(u64, Option<Value>)>,
        outcome: Outcome,
    ) -> Self {
        let consumer = Consumer(1);
        let op = Op::Poll { topic: STREAM.to_owned(), consumer, group: None, partition, offset: 0, records };
        self.op(from, Some(to), (1, op), outcome)
    }

    /// A message is sent to the queue and acknowledged.
    pub(crate) fn enqueue(self, from: u64, to: u64, (partition, id): (u32, u64)) -> Self {
        let value = Value { producer: 50 + partition, sequence: id };
        let at = Some(MessageId { partition, id });
        let op = Op::Enqueue { topic: QUEUE.to_owned(), value, terms: Terms::default(), at };
        self.op(from, Some(to), (50, op), Outcome::Ok)
    }

    /// A consumer gets a message, or none.
    pub(crate) fn receive(self, from: u64, to: u64, consumer: u32, got: Option<(u32, u64)>) -> Self {
        let delivery = got.map(|(partition, id)| Delivery {
            message: MessageId { partition, id },
            value: Some(Value { producer: 50 + partition, sequence: id }),
            lease: id + 1,
            attempt: 1,
            held: None,
        });
        let deliveries = delivery.into_iter().collect();
        let op = Op::Receive { topic: QUEUE.to_owned(), consumer: Consumer(consumer), deliveries };
        self.op(from, Some(to), (60 + consumer, op), Outcome::Ok)
    }

    /// A message is acked.
    pub(crate) fn ack(self, from: u64, to: u64, (partition, id): (u32, u64)) -> Self {
        let op = Op::Settle {
            topic: QUEUE.to_owned(),
            consumer: Consumer(1),
            message: MessageId { partition, id },
            lease: id + 1,
            how: weir_checker::How::Ack,
        };
        self.op(from, Some(to), (61, op), Outcome::Ok)
    }

    /// The history.
    pub(crate) fn told(mut self) -> Vec<Event> {
        self.events.sort_by_key(|event| event.to.unwrap_or(event.from));
        self.events
    }
}
