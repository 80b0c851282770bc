//! One partition: records of others may come at any time, so that an append may leave room before it.

use std::collections::BTreeMap;

use ::stateright::semantics::SequentialSpec;
use weir_checker::{Consumer, Event, Outcome, Process, Value};

use super::Generated;
use super::dice::Dice;

/// The specification: the end, and where each append's records begin.
#[derive(Clone, Default)]
pub(crate) struct Partition {
    end: u64,
    first: BTreeMap<u32, u64>,
}

/// An append by its number, and a record by its append and its place in it.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// With how many records, and where, if anybody knows.
    Append(u32, u64, Option<u64>),
    /// The end.
    Bounds,
    /// From an offset on.
    Poll(u64),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ret {
    At(u64),
    Refused,
    End(u64),
    Records(Vec<(u32, u64)>),
}

impl SequentialSpec for Partition {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        match op {
            Op::Append(append, records, Some(first)) if self.end <= *first => {
                self.end = first + records;
                self.first.insert(*append, *first);
                Ret::At(*first)
            }
            Op::Append(..) => Ret::Refused,
            Op::Bounds => Ret::End(self.end),
            Op::Poll(_) => Ret::Records(Vec::new()),
        }
    }

    fn is_valid_step(&mut self, op: &Op, ret: &Ret) -> bool {
        match (op, ret) {
            // Others may have appended until here.
            (Op::Bounds, Ret::End(end)) if self.end <= *end => {
                self.end = *end;
                true
            }
            (Op::Poll(asked), Ret::Records(records)) if records.is_empty() => self.end <= *asked,
            (Op::Poll(asked), Ret::Records(records)) => {
                let mut offsets = (*asked..).zip(records);
                offsets.all(|(offset, (append, index))| {
                    self.first.get(append).is_some_and(|first| first + index == offset)
                })
            }
            (Op::Append(..), Ret::At(_)) => self.invoke(op) == *ret,
            _ => false,
        }
    }
}

type Operation = (u64, u64, Op, Option<Ret>);

/// A few operations of producers and readers.
pub(crate) fn generate(seed: u64) -> Generated<Partition> {
    let mut dice = Dice::new(seed);
    let mut log: Vec<(u32, u64)> = Vec::new();
    let mut operations: Vec<Operation> = Vec::new();
    for append in 0..2 + dice.below(6) as u32 {
        let at = 100 + 10 * u64::from(append);
        let (from, to) = (at - dice.below(25), at + dice.below(25));
        let end = log.len() as u64;
        let (op, answer) = match dice.below(10) {
            0..=4 => {
                let records = 1 + dice.below(2);
                let told = dice.below(4) > 0;
                if told || dice.one_in(2) {
                    log.extend((0..records).map(|index| (append, index)));
                }
                (Op::Append(append, records, told.then_some(end)), told.then_some(Ret::At(end)))
            }
            5 | 6 => (Op::Bounds, Some(Ret::End(end))),
            _ => {
                let asked = dice.below(end + 1);
                let count = dice.below(3) as usize + 1;
                let records = log.iter().skip(asked as usize).take(count).copied().collect();
                (Op::Poll(asked), Some(Ret::Records(records)))
            }
        };
        operations.push((from, to, op, answer));
    }
    let changed = !dice.one_in(4);
    for _ in 0..if changed { 1 + dice.below(4) } else { 0 } {
        change(&mut operations, &mut dice);
    }
    settle(&mut operations);
    let events = operations.iter().zip(1..).map(|(operation, process)| event(operation, process)).collect();
    Generated { events, operations, changed }
}

fn change(operations: &mut [Operation], dice: &mut Dice) {
    let place = dice.below(operations.len() as u64) as usize;
    let (from, to, op, answer) = &mut operations[place];
    let near = |number: u64, dice: &mut Dice| (number + dice.below(3)).saturating_sub(1);
    match (op, answer, dice.below(3)) {
        (Op::Append(_, _, told), Some(Ret::At(first)), 0) => {
            *first = near(*first, dice);
            *told = Some(*first);
        }
        (Op::Bounds, Some(Ret::End(end)), 0 | 1) => *end = near(*end, dice),
        (Op::Poll(asked), _, 0) => *asked = near(*asked, dice),
        (Op::Poll(_), Some(Ret::Records(records)), 1) => records.truncate(1),
        _ => {
            let later = dice.below(40);
            (*from, *to) = (*from + later, *to + later);
        }
    }
}

/// An append of which nobody was told is where the first reader found it.
fn settle(operations: &mut [Operation]) {
    let mut found = BTreeMap::new();
    for (_, _, op, answer) in &*operations {
        if let (Op::Poll(asked), Some(Ret::Records(records))) = (op, answer) {
            for (offset, (append, index)) in (*asked..).zip(records) {
                let first = offset.saturating_sub(*index);
                found.entry(*append).or_insert(first);
            }
        }
    }
    for (_, _, op, answer) in operations {
        if let (Op::Append(append, _, place @ None), None) = (op, answer) {
            *place = found.get(append).copied();
        }
    }
}

fn event((from, to, op, answer): &Operation, process: u32) -> Event {
    let topic = "s".to_owned();
    let value = |append: u32, index: u64| Value { producer: append, sequence: index };
    let op = match (op, answer) {
        (Op::Append(append, records, _), answer) => {
            let values = (0..*records).map(|index| value(*append, index)).collect();
            let at = if let Some(Ret::At(first)) = answer { Some((0, *first)) } else { None };
            weir_checker::Op::Append { topic, values, key: None, at }
        }
        (Op::Bounds, Some(Ret::End(end))) => {
            weir_checker::Op::Bounds { topic, partition: 0, start: 0, end: *end }
        }
        (Op::Poll(asked), Some(Ret::Records(records))) => {
            let records =
                (*asked..).zip(records).map(|(at, (append, index))| (at, Some(value(*append, *index))));
            let (consumer, records) = (Consumer(process), records.collect());
            weir_checker::Op::Poll { topic, consumer, group: None, partition: 0, offset: *asked, records }
        }
        _ => unreachable!("reads are always answered"),
    };
    let (to, outcome) = if answer.is_some() { (Some(*to), Outcome::Ok) } else { (None, Outcome::Info) };
    Event { from: *from, to, process: Process(process), node: None, op, outcome, error: None }
}
