//! A queue in the order of its keys and a stream of the same shape: partitions own ranges of keys, and are split and merged.
//! What happens does so at one moment each; clients see it begin before and end after.

use std::collections::BTreeMap;
use std::ops::Range;

use weir_checker::{Consumer, Delivery, Event, How, MessageId, Micros, Op, Outcome, Process, Terms, Value};

use crate::dice::Dice;

const QUEUE: &str = "q";
const STREAM: &str = "s";
const GROUP: &str = "g";
const KEYS: u32 = 8;
/// What happens in one history, and for how long an operation is seen around its moment.
const MOMENTS: u32 = 800;
const AROUND: Micros = 30;
/// How much later a split is seen, at most.
const SEEN_LATER: u64 = 5_000;
/// Consumers: receivers of the queue, readers along the lineage, and members of the group by partition.
const RECEIVER: u32 = 1;
const READERS: Range<u32> = 10..13;
const MEMBERS: u32 = 100;

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A child of the queue delivers while its parent has the key.
    ChildDoesNotWait,
    /// A child's leases begin anew.
    LeasesBeginAnew,
    /// A sealed partition of the queue takes messages in.
    SealedQueueTakesIn,
    /// A sealed partition of the stream takes records in.
    SealedStreamTakesIn,
    /// A record goes to a partition that never owned its key.
    AnotherOwner,
    /// Readers begin with children at once.
    ReadersDoNotWait,
    /// A parent is said to end one record before its end.
    EndsTooSoon,
    /// Members are given children at once.
    MembersDoNotWait,
}

impl Defect {
    /// Each with the anomaly that it must show.
    pub(crate) const ALL: &[(Self, &str)] = &[
        (Self::ChildDoesNotWait, "Q18 lineage-overtaken"),
        (Self::LeasesBeginAnew, "Q9 key-token-regress"),
        (Self::SealedQueueTakesIn, "Q18 lineage-order"),
        (Self::SealedStreamTakesIn, "S10 lineage-order"),
        (Self::AnotherOwner, "S5 key-in-two-partitions"),
        (Self::ReadersDoNotWait, "S10 lineage-order"),
        (Self::EndsTooSoon, "S10 lineage-skip"),
        (Self::MembersDoNotWait, "G4 child-before-parent"),
    ];
}

struct Message {
    id: u64,
    value: Value,
    key: u32,
    lease: Option<u64>,
    attempt: u32,
}

struct Partition {
    keys: Range<u32>,
    sealed: bool,
    parents: Vec<usize>,
    messages: Vec<Message>,
    next_id: u64,
    leases: u64,
    records: Vec<Value>,
    /// Where the group stands.
    committed: u64,
    assigned: bool,
}

struct Play {
    dice: Dice,
    defect: Option<Defect>,
    now: Micros,
    partitions: Vec<Partition>,
    /// How far each reader has come in each partition.
    places: BTreeMap<(u32, usize), u64>,
    /// Until when each consumer is at work.
    busy: BTreeMap<Consumer, Micros>,
    sent: u64,
    processes: u32,
    events: Vec<Event>,
}

/// One history.
pub(crate) fn play(seed: u64, defect: Option<Defect>) -> Vec<Event> {
    let mut play = Play {
        dice: Dice::new(seed),
        defect,
        now: 1_000,
        partitions: vec![partition(0..KEYS, Vec::new(), 0)],
        places: BTreeMap::new(),
        busy: BTreeMap::new(),
        sent: 0,
        processes: 0,
        events: Vec::new(),
    };
    for _ in 0..MOMENTS {
        play.now += 1 + play.dice.below(40);
        match play.dice.below(100) {
            0..20 => play.enqueue(),
            20..45 => play.receive(),
            45..62 => play.settle(),
            62..75 => play.append(),
            75..86 => play.read(),
            86..97 => play.work(),
            _ => play.reshape(),
        }
    }
    play.events.sort_by_key(|event| event.to);
    play.events
}

fn partition(keys: Range<u32>, parents: Vec<usize>, leases: u64) -> Partition {
    Partition {
        keys,
        sealed: false,
        parents,
        messages: Vec::new(),
        next_id: 1,
        leases,
        records: Vec::new(),
        committed: 0,
        assigned: false,
    }
}

impl Play {
    fn is(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// Something happens now. A consumer does one thing at a time.
    fn note(&mut self, consumer: Option<Consumer>, op: Op) {
        let idle = consumer.and_then(|consumer| self.busy.get(&consumer).copied()).unwrap_or(0);
        let from = (self.now - self.dice.below(AROUND)).max(idle + 1);
        let to = self.now + self.dice.below(AROUND);
        if let Some(consumer) = consumer {
            self.busy.insert(consumer, to);
        }
        self.processes += 1;
        self.events.push(Event {
            from,
            to: Some(to),
            process: Process(self.processes),
            node: None,
            op,
            outcome: Outcome::Ok,
            error: None,
        });
    }

    /// Waits until a consumer is done with what it did last.
    fn wait_for(&mut self, consumer: Consumer) {
        let idle = self.busy.get(&consumer).copied().unwrap_or(0);
        self.now = self.now.max(idle + 1);
    }

    fn pick(&mut self, among: &[usize]) -> Option<usize> {
        if among.is_empty() { None } else { Some(among[self.dice.below(among.len() as u64) as usize]) }
    }

    fn owners(&self) -> Vec<usize> {
        let mut owners: Vec<usize> =
            (0..self.partitions.len()).filter(|p| !self.partitions[*p].sealed).collect();
        owners.sort_by_key(|owner| self.partitions[*owner].keys.start);
        owners
    }

    fn ancestors(&self, partition: usize) -> Vec<usize> {
        let parents = &self.partitions[partition].parents;
        let above = parents.iter().flat_map(|parent| self.ancestors(*parent));
        parents.iter().copied().chain(above).collect()
    }

    /// The owner of a key, or by a defect a partition that owned it once.
    fn owner(&mut self, key: u32, leaks: Defect) -> usize {
        let owners = self.owners();
        let owner = owners.into_iter().find(|owner| self.partitions[*owner].keys.contains(&key));
        let owner = owner.expect("every key has an owner");
        let above = self.ancestors(owner);
        if self.is(leaks) && self.dice.one_in(4) { self.pick(&above).unwrap_or(owner) } else { owner }
    }

    fn value(&mut self) -> Value {
        self.sent += 1;
        Value { producer: 1, sequence: self.sent }
    }

    fn enqueue(&mut self) {
        let key = self.dice.below(u64::from(KEYS)) as u32;
        let owner = self.owner(key, Defect::SealedQueueTakesIn);
        let value = self.value();
        let found = &mut self.partitions[owner];
        let id = found.next_id;
        found.next_id += 1;
        found.messages.push(Message { id, value, key, lease: None, attempt: 0 });
        let at = Some(MessageId { partition: owner as u32, id });
        let terms = Terms { key: Some(format!("k{key}")), ..Terms::default() };
        self.note(None, Op::Enqueue { topic: QUEUE.to_owned(), value, terms, at });
    }

    /// The first message of each key, where nothing of it is left above.
    fn receive(&mut self) {
        let all: Vec<usize> = (0..self.partitions.len()).collect();
        let Some(chosen) = self.pick(&all) else { return };
        let above = if self.is(Defect::ChildDoesNotWait) { Vec::new() } else { self.ancestors(chosen) };
        let held = |key: u32| above.iter().any(|p| self.partitions[*p].messages.iter().any(|m| m.key == key));
        let messages = &self.partitions[chosen].messages;
        let is_first = |place: usize| messages[..place].iter().all(|m| m.key != messages[place].key);
        let ready = |place: &usize| {
            messages[*place].lease.is_none() && is_first(*place) && !held(messages[*place].key)
        };
        let Some(place) = (0..messages.len()).find(ready) else { return };
        let found = &mut self.partitions[chosen];
        found.leases += 1;
        let message = &mut found.messages[place];
        message.lease = Some(found.leases);
        message.attempt += 1;
        let delivery = Delivery {
            message: MessageId { partition: chosen as u32, id: message.id },
            value: Some(message.value),
            lease: found.leases,
            attempt: message.attempt,
            held: None,
        };
        let op =
            Op::Receive { topic: QUEUE.to_owned(), consumer: Consumer(RECEIVER), deliveries: vec![delivery] };
        self.note(None, op);
    }

    /// A leased message is acked, or given back.
    fn settle(&mut self) {
        let leased: Vec<usize> = (0..self.partitions.len())
            .filter(|p| self.partitions[*p].messages.iter().any(|message| message.lease.is_some()))
            .collect();
        let Some(chosen) = self.pick(&leased) else { return };
        // The attempts of a message are bounded.
        let how = if self.dice.one_in(4) { How::Release } else { How::Ack };
        let messages = &mut self.partitions[chosen].messages;
        let place = messages.iter().position(|message| message.lease.is_some()).expect("one is leased");
        let (id, lease) = (messages[place].id, messages[place].lease.take().expect("it is leased"));
        if how == How::Ack {
            messages.remove(place);
        } else {
            messages[place].attempt -= 1;
        }
        let (message, consumer) = (MessageId { partition: chosen as u32, id }, Consumer(RECEIVER));
        self.note(None, Op::Settle { topic: QUEUE.to_owned(), consumer, message, lease, how });
    }

    fn append(&mut self) {
        let key = self.dice.below(u64::from(KEYS)) as u32;
        let mut owner = self.owner(key, Defect::SealedStreamTakesIn);
        if self.is(Defect::AnotherOwner) && self.dice.one_in(4) {
            let owners = self.owners();
            owner = self.pick(&owners).expect("there are owners");
        }
        let value = self.value();
        let records = &mut self.partitions[owner].records;
        records.push(value);
        let at = Some((owner as u32, records.len() as u64 - 1));
        let key = Some(format!("k{key}"));
        self.note(None, Op::Append { topic: STREAM.to_owned(), values: vec![value], key, at });
    }

    /// The end of a partition, as it is told to who reads it.
    fn end(&self, partition: usize) -> u64 {
        let found = &self.partitions[partition];
        let cut = u64::from(found.sealed && self.is(Defect::EndsTooSoon));
        (found.records.len() as u64).saturating_sub(cut)
    }

    /// A reader reads a bit of a partition whose ancestors it has read to their ends.
    fn read(&mut self) {
        let reader = READERS.start + self.dice.below(u64::from(READERS.end - READERS.start)) as u32;
        self.wait_for(Consumer(reader));
        let place = |p: usize| self.places.get(&(reader, p)).copied().unwrap_or(0);
        let done = |p: usize| self.partitions[p].sealed && place(p) >= self.end(p);
        let waits = !self.is(Defect::ReadersDoNotWait);
        let may =
            |p: &usize| place(*p) < self.end(*p) && (!waits || self.ancestors(*p).into_iter().all(done));
        let open: Vec<usize> = (0..self.partitions.len()).filter(may).collect();
        let Some(chosen) = self.pick(&open) else { return };
        let offset = self.places.get(&(reader, chosen)).copied().unwrap_or(0);
        let records = self.records(chosen, offset, 3);
        self.places.insert((reader, chosen), offset + records.len() as u64);
        self.poll(Consumer(reader), None, (chosen, offset), records);
    }

    fn records(&self, partition: usize, offset: u64, most: usize) -> Vec<(u64, Option<Value>)> {
        let until = self.end(partition) as usize;
        let there = self.partitions[partition].records[..until].iter().skip(offset as usize).take(most);
        (offset..).zip(there.map(|value| Some(*value))).collect()
    }

    fn poll(
        &mut self,
        consumer: Consumer,
        group: Option<(String, u64)>,
        (partition, offset): (usize, u64),
        records: Vec<(u64, Option<Value>)>,
    ) {
        let (topic, partition) = (STREAM.to_owned(), partition as u32);
        self.note(Some(consumer), Op::Poll { topic, consumer, group, partition, offset, records });
    }

    /// A member is given a partition whose ancestors the group has handled, reads a bit of it, and commits.
    fn work(&mut self) {
        let done = |p: usize| {
            self.partitions[p].sealed
                && self.partitions[p].committed >= self.partitions[p].records.len() as u64
        };
        let waits = !self.is(Defect::MembersDoNotWait);
        let may = |p: &usize| {
            self.partitions[*p].committed < self.end(*p)
                && (!waits || self.ancestors(*p).into_iter().all(done))
        };
        let open: Vec<usize> = (0..self.partitions.len()).filter(may).collect();
        let Some(chosen) = self.pick(&open) else { return };
        let (consumer, epoch, number) = (Consumer(MEMBERS + chosen as u32), 1 + chosen as u64, chosen as u32);
        let (group, topic) = (GROUP.to_owned(), STREAM.to_owned());
        self.wait_for(consumer);
        if !std::mem::replace(&mut self.partitions[chosen].assigned, true) {
            let (group, topic, partitions) = (group.clone(), topic.clone(), vec![number]);
            self.note(Some(consumer), Op::Assign { group, topic, consumer, epoch, partitions });
            self.now += AROUND;
        }
        let offset = self.partitions[chosen].committed;
        let records = self.records(chosen, offset, 4);
        let next = offset + records.len() as u64;
        self.poll(consumer, Some((group.clone(), epoch)), (chosen, offset), records);
        self.now += AROUND;
        self.partitions[chosen].committed = next;
        let commit = Op::Commit { group, topic, consumer, epoch, partition: number, offset: next };
        self.note(Some(consumer), commit);
    }

    /// An owner becomes two, or two neighbours one.
    fn reshape(&mut self) {
        let owners = self.owners();
        let wide: Vec<usize> =
            owners.iter().copied().filter(|p| self.partitions[*p].keys.len() > 1).collect();
        let (parents, ranges) = if owners.len() > 1 && (wide.is_empty() || self.dice.one_in(2)) {
            let place = self.dice.below(owners.len() as u64 - 1) as usize;
            let (left, right) = (owners[place], owners[place + 1]);
            let keys = self.partitions[left].keys.start..self.partitions[right].keys.end;
            (vec![left, right], Vec::from([keys]))
        } else {
            let chosen = self.pick(&wide).expect("one owner has all keys, or two can be merged");
            let keys = self.partitions[chosen].keys.clone();
            let at = keys.start + 1 + self.dice.below(keys.len() as u64 - 1) as u32;
            (vec![chosen], vec![keys.start..at, at..keys.end])
        };
        let above = parents.iter().map(|parent| self.partitions[*parent].leases).max().unwrap_or(0);
        let leases = if self.is(Defect::LeasesBeginAnew) { 0 } else { above + 1_000_000 };
        let mut children = Vec::new();
        for keys in ranges {
            children.push(self.partitions.len() as u32);
            self.partitions.push(partition(keys, parents.clone(), leases));
        }
        for parent in &parents {
            self.partitions[*parent].sealed = true;
        }
        let parents: Vec<u32> = parents.into_iter().map(|parent| parent as u32).collect();
        let (now, later) = (self.now, self.dice.below(SEEN_LATER));
        self.now += later;
        for topic in [QUEUE, STREAM] {
            let (topic, parents, children) = (topic.to_owned(), parents.clone(), children.clone());
            self.note(None, Op::Reshaped { topic, parents, children });
        }
        self.now = now;
    }
}
