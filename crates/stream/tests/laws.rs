//! The laws of the machine, under generated histories. Later commands derive from what earlier ones really gave:
//! repeats repeat batches that were taken in, commits move from positions that were committed.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod model;

use std::collections::BTreeMap;

use model::{Model, Step};
use proptest::prelude::*;
use proptest::sample::Index as Pick;
use weir_stream::{Command, Effect, Rejection, Reply, Stream};
use weir_types::{At, LeaseClock, LogIndex, Output, Row, RowChange, StreamPolicy, Term, WallClock};

/// What a replica has stored.
type Store = BTreeMap<Vec<u8>, Vec<u8>>;

fn write(store: &mut Store, changes: Vec<RowChange>) {
    for RowChange { key, value } in changes {
        match value {
            Some(value) => store.insert(key, value),
            None => store.remove(&key),
        };
    }
}

fn rows(store: &Store) -> Vec<Row> {
    store.iter().map(|(key, value)| Row { key: key.clone(), value: value.clone() }).collect()
}

/// One replica: the machine and its store. It writes once per entry, or once per command.
struct Replica {
    stream: Stream,
    store: Store,
    out: Output<Effect>,
}

impl Replica {
    fn new() -> Self {
        Self { stream: Stream::new(StreamPolicy::default()), store: Store::new(), out: Output::default() }
    }

    fn apply(&mut self, at: At, command: Command) -> Result<Reply, Rejection> {
        let answer = self.stream.apply(at, command, &mut self.out).unwrap();
        self.stream.check_invariants();
        answer
    }

    fn write(&mut self) -> Vec<Effect> {
        let out = std::mem::take(&mut self.out);
        write(&mut self.store, out.changes);
        out.effects
    }

    /// The law of restoring: the store holds exactly the state.
    fn check_restore(&self) {
        let rows = rows(&self.store);
        assert_eq!(self.stream.rows(), rows);
        assert_eq!(Stream::restore(rows.into_iter()).unwrap(), self.stream);
    }

    fn restart(&mut self) {
        self.stream = Stream::restore(rows(&self.store).into_iter()).unwrap();
    }
}

/// Runs a history on a model and three replicas: one writes per entry, its double too, one writes per command and
/// restarts now and then.
fn run(steps: Vec<Step>) {
    let mut model = Model::default();
    let mut at = At { term: Term(1), index: LogIndex(1), ..At::default() };
    let (mut first, mut double, mut restarting) = (Replica::new(), Replica::new(), Replica::new());
    for step in steps {
        if step.new_entry {
            assert_eq!(first.write(), double.write());
            first.check_restore();
            at.index = at.index.next();
            at.term = Term(at.term.0 + u64::from(step.new_term));
            at.lease_clock = LeaseClock(at.lease_clock.0 + step.lease_ms);
            at.wall_clock = WallClock(at.wall_clock.0 + step.wall_ms);
        }
        let command = model.command(at, &step, &first.stream);
        let before = first.stream.clone();
        let answer = first.apply(at, command.clone());
        assert_eq!(double.apply(at, command.clone()), answer);
        assert_eq!(restarting.apply(at, command.clone()), answer);
        restarting.write();
        if step.restart {
            restarting.check_restore();
            restarting.restart();
        }
        assert_eq!(double.out.changes, first.out.changes, "replicas write the same bytes");
        assert_eq!(double.stream, first.stream);
        assert_eq!(restarting.stream, first.stream);
        model.check(at, &command, &answer, &before, &first.stream);
    }
    first.write();
    first.check_restore();
    assert_eq!(restarting.store, first.store);
}

fn step() -> impl Strategy<Value = Step> {
    let time = (any::<bool>(), prop::bool::weighted(0.1), 0u64..50, 0u64..50, prop::bool::weighted(0.01));
    let choices = (0u8..32, any::<Pick>(), any::<Pick>(), 1u32..6);
    (time, prop::bool::weighted(0.1), choices).prop_map(|(time, restart, (kind, pick, other, count))| {
        let (new_entry, new_term, wall_ms, lease_ms, long) = time;
        let week_ms = if long { 7 * 24 * 3600 * 1000 } else { 0 };
        Step { new_entry, new_term, wall_ms, lease_ms: lease_ms + week_ms, restart, kind, pick, other, count }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_law_holds_for_any_history(steps in prop::collection::vec(step(), 1..250)) {
        run(steps);
    }

    #[test]
    fn any_rows_are_restored_or_corrupt_and_never_panic(
        rows in prop::collection::vec(
            (prop::sample::select(b"bcdefgikopstxz".to_vec()), prop::collection::vec(any::<u8>(), 0..10),
                prop::collection::vec(any::<u8>(), 0..20)),
            0..8,
        ),
    ) {
        let rows = rows.into_iter().map(|(tag, key, value)| Row {
            key: [&[tag][..], &key].concat(),
            value: [&[1][..], &value].concat(),
        });
        let _ = Stream::restore(rows);
    }
}

#[test]
fn more_batches_than_a_row_holds_restore_and_retire_in_one_entry() {
    let mut replica = Replica::new();
    let at = At { term: Term(1), index: LogIndex(1), ..At::default() };
    for batch in 0..1_500 {
        replica.apply(at, model::plain_append(batch, 2)).unwrap();
    }
    replica.write();
    replica.check_restore();
    let runs = replica.store.keys().filter(|key| key[0] == b'b').count();
    assert_eq!(runs, 1_500usize.div_ceil(64));

    // One command retires a bounded number; the rest is due at once.
    let end = replica.stream.end_offset();
    replica.apply(at, Command::Trim { before: end }).unwrap();
    assert_eq!(replica.stream.next_deadlines().wall, Some(WallClock(0)));
    assert!(replica.stream.retained_from().is_some());
    assert_eq!(replica.stream.locate(end, 1), Ok(Vec::new()));
    replica.apply(at, Command::Tick).unwrap();
    assert_eq!(replica.stream.next_deadlines().wall, None);
    assert_eq!(replica.stream.retained_from(), None);
    replica.write();
    replica.check_restore();
    assert!(replica.store.keys().all(|key| key[0] != b'b'));
}

#[test]
fn an_entry_applied_after_a_later_one_is_corrupt() {
    let mut stream = Stream::new(StreamPolicy::default());
    let mut out = Output::default();
    let at = |term, index| At { term: Term(term), index: LogIndex(index), ..At::default() };
    stream.apply(at(2, 5), model::plain_append(0, 1), &mut out).unwrap().unwrap();
    assert!(stream.apply(at(2, 4), model::plain_append(1, 1), &mut out).is_err());
    assert!(stream.apply(at(1, 5), model::plain_append(1, 1), &mut out).is_err());
}
