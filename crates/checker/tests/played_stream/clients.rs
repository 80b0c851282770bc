//! The clients: producers that repeat what they heard nothing of, readers, owners that come and go, and lookers-on.

use weir_checker::{Consumer, Digested, Event, Micros, Op, Outcome, Process, Value};

use crate::dice::Dice;
use crate::stream::{Defect, PARTITIONS, Partition, shows};

const TOPIC: &str = "s";
const GROUP: &str = "g";
const PRODUCERS: u32 = 3;
const STEPS: u64 = 300;
/// Longest time from an operation's beginning to its moment, and from there to its end.
const SLACK_MAX: Micros = 30_000;
/// Longest pause between two operations.
const PAUSE_MAX: Micros = 100_000;

/// A member that believes it owns a partition.
struct Owner {
    consumer: Consumer,
    partition: u32,
    epoch: u64,
    next: u64,
    committed: u64,
    /// The end of its last operation: it does one after the other.
    free: Micros,
}

struct Play {
    dice: Dice,
    defect: Option<Defect>,
    now: Micros,
    events: Vec<Event>,
    partitions: Vec<Partition>,
    sequences: [u64; PRODUCERS as usize],
    /// Sent, and nobody heard of it.
    unheard: Vec<(Vec<Value>, u32)>,
    /// The next offset of each reader in each partition, and when the reader is free.
    readers: Vec<([u64; PARTITIONS as usize], Micros)>,
    owners: Vec<Owner>,
    epochs: [u64; PARTITIONS as usize],
    processes: u32,
}

/// Plays to the end.
pub(crate) fn play(seed: u64, defect: Option<Defect>) -> Vec<Event> {
    let mut play = Play {
        dice: Dice::new(seed),
        defect,
        now: 1_000_000,
        events: Vec::new(),
        partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
        sequences: [0; PRODUCERS as usize],
        unheard: Vec::new(),
        readers: vec![([0; PARTITIONS as usize], 0); 3],
        owners: Vec::new(),
        epochs: [0; PARTITIONS as usize],
        processes: 0,
    };
    for _ in 0..STEPS {
        play.now += play.dice.below(PAUSE_MAX);
        play.step();
    }
    play.events.sort_by_key(|event| event.to.unwrap_or(event.from));
    play.events
}

impl Play {
    fn step(&mut self) {
        let partition = self.dice.below(u64::from(PARTITIONS)) as u32;
        match self.dice.below(100) {
            0..30 => self.append(partition),
            30..36 => self.repeat(),
            36..60 => self.read(),
            60..66 => self.take_over(partition),
            66..84 => self.work(),
            84..90 => self.look(partition),
            90..94 => self.position(partition),
            94..98 => self.digest(partition),
            _ => self.trim(partition),
        }
    }

    fn shows(&mut self, asked: Defect) -> bool {
        let number = self.dice.below(1 << 20);
        shows(self.defect, asked, number)
    }

    /// Writes an operation down whose moment is now.
    fn note(&mut self, op: Op, outcome: Outcome) -> Micros {
        let (from, to) = (self.now - self.dice.below(SLACK_MAX), self.now + self.dice.below(SLACK_MAX));
        self.note_at((from, to), op, outcome)
    }

    fn note_at(&mut self, (from, to): (Micros, Micros), op: Op, outcome: Outcome) -> Micros {
        self.processes += 1;
        let process = Process(self.processes);
        let end = (outcome != Outcome::Info).then_some(to);
        self.events.push(Event { from, to: end, process, node: None, op, outcome, error: None });
        to
    }

    fn append(&mut self, partition: u32) {
        let producer = self.dice.below(u64::from(PRODUCERS)) as u32;
        let values: Vec<Value> = (0..=self.dice.below(3))
            .map(|_| {
                let sequence = &mut self.sequences[producer as usize];
                *sequence += 1;
                Value { producer, sequence: *sequence - 1 }
            })
            .collect();
        self.send(values, partition);
    }

    /// Sends again what nobody heard of.
    fn repeat(&mut self) {
        if let Some((values, partition)) = self.unheard.pop() {
            self.send(values, partition);
        }
    }

    fn send(&mut self, values: Vec<Value>, partition: u32) {
        let key = Some(format!("key of partition {partition}"));
        let topic = TOPIC.to_owned();
        if self.dice.one_in(12) {
            if self.shows(Defect::StoresRefused) {
                self.store(&values, partition);
            }
            self.note(Op::Append { topic, values, key, at: None }, Outcome::Fail);
            return;
        }
        if self.dice.one_in(6) {
            if self.dice.one_in(2) {
                self.store(&values, partition);
            }
            self.unheard.push((values.clone(), partition));
            self.note(Op::Append { topic, values, key, at: None }, Outcome::Info);
            return;
        }
        let mut place = partition;
        if self.shows(Defect::MovesKeys) {
            place = 1 - partition;
        }
        let mut first = self.store(&values, place);
        if self.shows(Defect::TellsWrongOffsets) {
            first += 1;
        }
        if self.shows(Defect::StartsOver) {
            first = 0;
        }
        self.note(Op::Append { topic, values, key, at: Some((place, first)) }, Outcome::Ok);
        let (read, tail) = (self.shows(Defect::LosesWhatWasRead), self.shows(Defect::LosesTheTail));
        if read {
            let end = self.partitions[place as usize].end();
            self.poll(place, end.saturating_sub(2), 0, None);
            self.now += 2 * SLACK_MAX;
        }
        if read || tail {
            self.partitions[place as usize].lose(2);
            self.now += 2 * SLACK_MAX;
            self.look(place);
        }
    }

    fn store(&mut self, values: &[Value], partition: u32) -> u64 {
        let Self { dice, defect, partitions, .. } = self;
        let mut faulty = |asked| shows(*defect, asked, dice.below(1 << 20));
        partitions[partition as usize].append(values, &mut faulty)
    }

    /// A reader goes on, or seeks.
    fn read(&mut self) {
        let reader = self.dice.below(self.readers.len() as u64) as usize;
        let partition = self.dice.below(u64::from(PARTITIONS)) as u32;
        let (nexts, free) = &self.readers[reader];
        if *free >= self.now {
            return;
        }
        let mut asked = nexts[partition as usize];
        if self.dice.one_in(10) {
            asked = self.dice.below(self.partitions[partition as usize].end() + 1);
        }
        let (next, free) = self.poll(partition, asked, reader as u32, None);
        self.readers[reader].0[partition as usize] = next;
        self.readers[reader].1 = free;
    }

    /// Returns the next offset, and when the answer came.
    fn poll(&mut self, number: u32, asked: u64, consumer: u32, epoch: Option<u64>) -> (u64, Micros) {
        let partition = &self.partitions[number as usize];
        let (start, admitted) = (partition.start, epoch.is_none_or(|epoch| partition.admits(epoch)));
        let mut records = partition.read(asked);
        let jumps = records.is_none() && self.shows(Defect::JumpsOverTheTrimmed);
        if jumps {
            records = self.partitions[number as usize].read(start);
        }
        if !admitted && !self.shows(Defect::LetsZombiesRead) {
            records = None;
        }
        if let Some(records) = &mut records {
            self.spoil(number, asked, records);
        }
        let next = records.as_ref().and_then(|records| records.last()).map_or(asked, |(last, _)| last + 1);
        let outcome = if records.is_some() { Outcome::Ok } else { Outcome::Fail };
        let trimmed = records.is_none() && admitted;
        let next = if trimmed { start.max(asked) } else { next };
        let op = Op::Poll {
            topic: TOPIC.to_owned(),
            consumer: Consumer(consumer),
            group: epoch.map(|epoch| (GROUP.to_owned(), epoch)),
            partition: number,
            offset: asked,
            records: records.unwrap_or_default(),
        };
        let free = self.note(op, outcome);
        if let Some(event) = self.events.last_mut().filter(|_| trimmed) {
            event.error = Some("offset-out-of-range: trimmed".to_owned());
        }
        (next, free)
    }

    fn spoil(&mut self, number: u32, asked: u64, records: &mut Vec<(u64, Option<Value>)>) {
        if records.len() > 2 && self.shows(Defect::LeavesOut) {
            records.remove(1);
        }
        if records.len() > 1 && self.shows(Defect::BeginsLate) {
            records.remove(0);
        }
        if !records.is_empty() && self.shows(Defect::DamagesPayloads) {
            records[0].1 = None;
        }
        if asked > self.partitions[number as usize].start && self.shows(Defect::BeginsEarly) {
            *records = self.partitions[number as usize].read(asked - 1).unwrap_or_default();
        }
    }

    /// A member is given a partition, and fences its older owners.
    fn take_over(&mut self, number: u32) {
        let epoch = &mut self.epochs[number as usize];
        *epoch += 1;
        let epoch = *epoch;
        let consumer = Consumer(10 + self.dice.below(4) as u32);
        let partition = &mut self.partitions[number as usize];
        partition.epoch = epoch;
        let mut next = partition.committed.unwrap_or(partition.start);
        if self.shows(Defect::ResumesTooEarly) {
            next = next.saturating_sub(2);
        }
        if self.shows(Defect::ResumesTooLate) {
            next += 2;
        }
        let op = Op::Assign {
            group: GROUP.to_owned(),
            topic: TOPIC.to_owned(),
            consumer,
            epoch,
            partitions: vec![number],
        };
        let free = self.note(op, Outcome::Ok);
        // The one before may not have noticed.
        self.owners.push(Owner { consumer, partition: number, epoch, next, committed: next, free });
        if self.owners.len() > 5 {
            self.owners.remove(0);
        }
    }

    /// An owner reads and commits.
    fn work(&mut self) {
        if self.owners.is_empty() {
            return;
        }
        let place = self.dice.below(self.owners.len() as u64) as usize;
        let Owner { consumer, partition, epoch, next, committed, free } = self.owners[place];
        if free >= self.now {
            return;
        }
        if next > committed && self.dice.one_in(2) {
            self.owners[place].free = self.commit(place);
        } else {
            let (next, free) = self.poll(partition, next, consumer.0, Some(epoch));
            (self.owners[place].next, self.owners[place].free) = (next, free);
        }
    }

    fn commit(&mut self, place: usize) -> Micros {
        let Owner { consumer, partition: number, epoch, next, .. } = self.owners[place];
        let admitted =
            self.partitions[number as usize].admits(epoch) || self.shows(Defect::LetsZombiesCommit);
        let forward = self.partitions[number as usize].committed.is_none_or(|committed| committed <= next);
        let heard = !self.dice.one_in(6);
        let happens = admitted && forward && (heard || self.dice.one_in(2));
        if happens {
            self.partitions[number as usize].committed = Some(next);
        }
        let outcome = match (heard, happens) {
            (false, _) => Outcome::Info,
            (true, true) => Outcome::Ok,
            (true, false) => Outcome::Fail,
        };
        if outcome == Outcome::Ok {
            self.owners[place].committed = next;
        }
        let (group, topic) = (GROUP.to_owned(), TOPIC.to_owned());
        let free =
            self.note(Op::Commit { group, topic, consumer, epoch, partition: number, offset: next }, outcome);
        if happens && self.shows(Defect::ForgetsCommits) {
            self.partitions[number as usize].committed = None;
            self.now += 2 * SLACK_MAX;
            self.position(number);
        }
        free
    }

    fn position(&mut self, number: u32) {
        let mut offset = self.partitions[number as usize].committed;
        if self.shows(Defect::MakesUpPositions) {
            offset = Some(1_000);
        }
        let (group, topic) = (GROUP.to_owned(), TOPIC.to_owned());
        self.note(Op::Position { group, topic, partition: number, offset }, Outcome::Ok);
    }

    fn look(&mut self, number: u32) {
        let partition = &self.partitions[number as usize];
        let (mut start, mut end) = (partition.start, partition.end());
        if self.shows(Defect::ShowsAnOldEnd) {
            end = end.saturating_sub(1).max(start);
        }
        if self.shows(Defect::StartFalls) {
            start = 0;
        }
        self.note(Op::Bounds { topic: TOPIC.to_owned(), partition: number, start, end }, Outcome::Ok);
    }

    fn trim(&mut self, number: u32) {
        let partition = &mut self.partitions[number as usize];
        let retained = partition.end() - partition.start;
        partition.start += self.dice.below(retained + 1);
        partition.applied += 1;
    }

    fn digest(&mut self, number: u32) {
        for node in ["n1", "n2", "n3"] {
            let Partition { log, start, applied, .. } = &self.partitions[number as usize];
            let (applied, mut bounds) = (*applied, (*start, log.len() as u64));
            if self.shows(Defect::ReplicasDiffer) {
                bounds.1 += 1;
            }
            let digested = Digested {
                node: node.to_owned(),
                topic: TOPIC.to_owned(),
                partition: number,
                applied,
                hash: format!("{bounds:?}"),
                messages: Vec::new(),
                bounds: Some(bounds),
            };
            self.note(Op::Digest(digested), Outcome::Ok);
        }
    }
}
