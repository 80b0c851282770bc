//! What every pure machine keeps, whatever it is asked: it never panics, its state never contradicts itself, and the
//! rows that it wrote restore the same state.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_types::{At, Corrupt, LeaseClock, LogIndex, Output, Row, RowChange, Term, WallClock};

use crate::input::{Input, rows_as_input};

/// Entries in one run: invariants cost time in proportion to the state, after each.
const STEPS_MAX: usize = 24;
const STEPS: u8 = 0;
const ROWS: u8 = 1;

pub(crate) trait Machine: Sized + PartialEq + Debug {
    type Command: Serialize + DeserializeOwned + Debug + PartialEq + Clone;

    fn empty(variant: u8) -> Self;
    fn restore(rows: Vec<Row>) -> Result<Self, Corrupt>;
    fn apply(&mut self, at: At, command: Self::Command, changes: &mut Vec<RowChange>) -> Result<(), Corrupt>;
    fn check_invariants(&self);
}

/// The changes of an output that hints for a leader came with.
pub(crate) fn changes_of<E, A>(
    changes: &mut Vec<RowChange>,
    apply: impl FnOnce(&mut Output<E>) -> Result<A, Corrupt>,
) -> Result<(), Corrupt> {
    let mut out = Output::default();
    let applied = apply(&mut out);
    changes.extend(out.changes);
    applied.map(|_| ())
}

/// The first byte says whether commands or rows follow.
pub(crate) fn law<M: Machine>(data: &[u8]) {
    let mut input = Input::new(data);
    match input.u8() % 2 {
        STEPS => steps::<M>(input.u8(), input.rest()),
        _ => {
            // Rows that no machine wrote are refused, or taken where nobody can tell.
            let _ = M::restore(input.rows());
        }
    }
}

/// Time that passes before an entry, in milliseconds on the lease clock and on the wall clock.
type Passed = (u16, u32);

fn steps<M: Machine>(variant: u8, mut rest: &[u8]) {
    let mut machine = M::empty(variant);
    let mut stored = BTreeMap::new();
    let mut at = At {
        term: Term(1),
        index: LogIndex(0),
        lease_clock: LeaseClock(0),
        wall_clock: WallClock(1_700_000_000_000),
    };
    for _ in 0..STEPS_MAX {
        let Ok(((passed, command), left)) = postcard::take_from_bytes::<(Passed, M::Command)>(rest) else {
            break;
        };
        rest = left;
        let again = postcard::to_allocvec(&command).expect("commands encode");
        assert_eq!(postcard::from_bytes::<M::Command>(&again).as_ref(), Ok(&command));

        at.index.0 += 1;
        at.lease_clock = at.lease_clock + u64::from(passed.0);
        at.wall_clock = at.wall_clock + u64::from(passed.1);
        let mut changes = Vec::new();
        if machine.apply(at, command, &mut changes).is_err() {
            // The replica stops here, as it should when a log makes no sense.
            return;
        }
        machine.check_invariants();
        for RowChange { key, value } in changes {
            match value {
                Some(value) => stored.insert(key, value),
                None => stored.remove(&key),
            };
        }
    }
    if at.index > LogIndex(0) && !stored.is_empty() {
        let rows = stored.into_iter().map(|(key, value)| Row { key, value }).collect();
        assert_eq!(M::restore(rows).as_ref(), Ok(&machine), "rows restore the state");
    }
}

/// Seeds: these commands in one run, each alone, and these rows.
pub(crate) fn seeds<M: Machine>(
    variants: &[u8],
    commands: &[M::Command],
    rows: &[(Vec<u8>, Vec<u8>)],
) -> Vec<Vec<u8>> {
    let run = |variant: u8, commands: &[M::Command]| {
        commands.iter().fold(vec![STEPS, variant], |bytes, command| {
            postcard::to_extend(&((250u16, 250u32), command), bytes).expect("commands encode")
        })
    };
    let mut seeds: Vec<_> = variants.iter().map(|variant| run(*variant, commands)).collect();
    seeds.extend(commands.iter().map(|command| run(variants[0], std::slice::from_ref(command))));
    if !rows.is_empty() {
        let pairs = rows.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
        seeds.push([vec![ROWS], rows_as_input(pairs)].concat());
    }
    seeds
}
