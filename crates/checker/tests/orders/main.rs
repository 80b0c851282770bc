//! Whether a history has an order, judged by the checks and by stateright's linearizability tester, on random histories:
//! some are legal by construction, some of those are then changed in one place.
//!
//! * `register.rs`: the committed position of a group in a partition (G1).
//! * `partition.rs`: appends, reads and looks at the end of a partition (S1 to S7).

#[path = "../differential/dice.rs"]
mod dice;
mod partition;
mod register;

use std::fmt::Debug;

use ::stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use weir_checker::{Event, Options, Report, judge};

/// Histories of each comparison.
const HISTORIES: u64 = 20_000;

/// From when to when, what, and the answer, if there is one.
type Operation<S> = (u64, u64, <S as SequentialSpec>::Op, Option<<S as SequentialSpec>::Ret>);

/// A random history, in both forms.
struct Generated<S: SequentialSpec> {
    events: Vec<Event>,
    operations: Vec<Operation<S>>,
    changed: bool,
}

/// Whether some order of the operations is one that the specification takes.
fn has_order<S>(start: S, operations: &[Operation<S>]) -> bool
where
    S: SequentialSpec + Clone,
    S::Op: Clone + Debug,
    S::Ret: Clone + Debug + PartialEq,
{
    let mut moments: Vec<(u64, bool, usize)> = Vec::new();
    for (place, (from, to, _, answer)) in operations.iter().enumerate() {
        moments.push((*from, false, place));
        moments.extend(answer.is_some().then_some((*to, true, place)));
    }
    // Beginnings first: what ends at the same time is not over yet.
    moments.sort_unstable();
    let mut tester = LinearizabilityTester::new(start);
    for (_, is_end, place) in moments {
        let (_, _, op, answer) = &operations[place];
        if is_end {
            let answer = answer.clone().expect("only answered operations end");
            tester.on_return(place, answer).expect("it was begun");
        } else {
            tester.on_invoke(place, op.clone()).expect("every operation is a thread");
        }
    }
    tester.is_consistent()
}

fn report(events: &[Event]) -> Report {
    let mut events = events.to_vec();
    events.sort_by_key(|event| event.to.unwrap_or(event.from));
    judge(events.into_iter().map(Ok), &Options::default(), 1).expect("nothing is read")
}

/// Compares on many histories; both kinds must be there in numbers.
fn compare<S>(start: &S, checks: char, generate: impl Fn(u64) -> Generated<S>)
where
    S: SequentialSpec + Clone,
    S::Op: Clone + Debug,
    S::Ret: Clone + Debug + PartialEq,
{
    let (mut legal, mut illegal) = (0, 0);
    for seed in 0..HISTORIES {
        let Generated { events, operations, changed } = generate(seed);
        let report = report(&events);
        let found: Vec<_> = report.anomalies().filter(|anomaly| anomaly.check.starts_with(checks)).collect();
        let theirs = has_order(start.clone(), &operations);
        // Others between the records of one append are noted and allowed, as Jepsen does; the specification forbids them.
        let skips = report.checks.iter().flat_map(|checked| &checked.findings.notes);
        let skips = skips.filter(|note| note.contains("int-send-skip")).count();
        assert_eq!(found.is_empty() && skips == 0, theirs, "seed {seed}: {operations:#?} {found:#?}");
        assert!(theirs || changed, "seed {seed}: legal by construction: {operations:#?}");
        if theirs {
            legal += 1;
        } else {
            illegal += 1;
        }
    }
    eprintln!("{legal} legal and {illegal} illegal histories judged alike");
    assert!(legal > HISTORIES / 4 && illegal > HISTORIES / 8, "{legal} legal, {illegal} illegal");
}

#[test]
fn positions_of_groups_are_judged_as_stateright_judges_them() {
    compare(&register::Register::default(), 'G', register::generate);
}

#[test]
fn partitions_are_judged_as_stateright_judges_them() {
    compare(&partition::Partition::default(), 'S', partition::generate);
}
