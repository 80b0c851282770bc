//! The committed position of a group: an epoch and an offset, which only rise.

use ::stateright::semantics::SequentialSpec;
use weir_checker::{Consumer, Event, Outcome, Process};

use super::Generated;
use super::dice::Dice;

/// The specification.
#[derive(Clone, Default)]
pub(crate) struct Register {
    epoch: u64,
    offset: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Fence(u64),
    Commit(u64, u64),
    Position,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ret {
    Done,
    Refused,
    At(Option<u64>),
}

impl SequentialSpec for Register {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        match op {
            Op::Fence(epoch) => self.epoch = self.epoch.max(*epoch),
            Op::Commit(epoch, offset) if *epoch >= self.epoch && Some(*offset) >= self.offset => {
                (self.epoch, self.offset) = (*epoch, Some(*offset));
            }
            Op::Commit(..) => return Ret::Refused,
            Op::Position => return Ret::At(self.offset),
        }
        Ret::Done
    }
}

/// A few operations of owners and lookers-on.
pub(crate) fn generate(seed: u64) -> Generated<Register> {
    let mut dice = Dice::new(seed);
    let mut register = Register::default();
    let mut operations = Vec::new();
    for place in 0..2 + dice.below(7) {
        let at = 100 + 10 * place;
        let (from, to) = (at - dice.below(25), at + dice.below(25));
        let (op, answered) = match dice.below(10) {
            0 | 1 => (Op::Fence(register.epoch.max(1) + dice.below(2)), true),
            2..=6 => {
                let offset = register.offset.map_or(1, |offset| offset + dice.below(3));
                (Op::Commit(register.epoch + dice.below(2), offset), dice.below(4) > 0)
            }
            _ => (Op::Position, true),
        };
        let happens = answered || dice.one_in(2);
        let answer = if happens { register.invoke(&op) } else { Ret::Done };
        // When a fence came into force before its end is not known.
        let from = if matches!(op, Op::Fence(_)) { 0 } else { from };
        operations.push((from, to, op, answered.then_some(answer)));
    }
    let changed = !dice.one_in(4);
    for _ in 0..if changed { 1 + dice.below(4) } else { 0 } {
        change(&mut operations, &mut dice);
    }
    let events = operations.iter().zip(1..).map(|(operation, process)| event(operation, process)).collect();
    Generated { events, operations, changed }
}

type Operation = (u64, u64, Op, Option<Ret>);

fn change(operations: &mut [Operation], dice: &mut Dice) {
    let place = dice.below(operations.len() as u64) as usize;
    let (from, to, op, answer) = &mut operations[place];
    let near = |number: u64, dice: &mut Dice| (number + dice.below(3)).saturating_sub(1);
    match (op, answer, dice.below(3)) {
        (Op::Position, Some(Ret::At(offset)), 0 | 1) => *offset = Some(near(offset.unwrap_or(1), dice)),
        (Op::Fence(epoch), ..) | (Op::Commit(epoch, _), _, 0) => *epoch = near(*epoch, dice),
        (Op::Commit(_, offset), _, 1) => *offset = near(*offset, dice),
        _ => {
            let later = dice.below(40);
            (*from, *to) = (*from + later, *to + later);
        }
    }
}

fn event((from, to, op, answer): &Operation, process: u32) -> Event {
    let (group, topic, consumer, partition) = ("g".to_owned(), "s".to_owned(), Consumer(process), 0);
    let op = match (op, answer) {
        (Op::Fence(epoch), _) => {
            weir_checker::Op::Assign { group, topic, consumer, epoch: *epoch, partitions: vec![partition] }
        }
        (Op::Commit(epoch, offset), _) => {
            weir_checker::Op::Commit { group, topic, consumer, epoch: *epoch, partition, offset: *offset }
        }
        (Op::Position, Some(Ret::At(offset))) => {
            weir_checker::Op::Position { group, topic, partition, offset: *offset }
        }
        (Op::Position, _) => unreachable!("a position is always answered"),
    };
    let (to, outcome) = match answer {
        Some(Ret::Refused) => unreachable!("only what is legal is asked"),
        Some(_) => (Some(*to), Outcome::Ok),
        None => (None, Outcome::Info),
    };
    Event { from: *from, to, process: Process(process), node: None, op, outcome, error: None }
}
