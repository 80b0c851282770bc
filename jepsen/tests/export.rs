//! A run that never was, in Jepsen's format, read back by a reader that knows nothing of how it was written.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod synthetic;

use std::collections::BTreeMap;
use std::fs;

use clojure_reader::edn::{self, Edn};
use weir_jepsen::export;

/// An operation as Jepsen's checkers see it.
struct Operation<'a>(Edn<'a>);

impl<'a> Operation<'a> {
    fn read(line: &'a str) -> Self {
        Self(edn::read_string(line).unwrap())
    }

    fn get(&self, key: &'static str) -> &Edn<'a> {
        map(&self.0).get(&Edn::Key(key.into())).unwrap_or_else(|| panic!("no {key} in {}", self.0))
    }

    fn number(&self, key: &'static str) -> i64 {
        match self.get(key) {
            Edn::Int(number) => *number,
            other => panic!("{key} is no number: {other}"),
        }
    }

    fn has(&self, key: &'static str, keyword: &str) -> bool {
        matches!(self.get(key), Edn::Key(name) if name == keyword)
    }

    fn is(&self, kind: &str, f: &str) -> bool {
        self.has("type", kind) && self.has("f", f)
    }

    fn items(&self) -> &[Edn<'a>] {
        items(self.get("value"))
    }
}

fn map<'e, 'a>(edn: &'e Edn<'a>) -> &'e BTreeMap<Edn<'a>, Edn<'a>> {
    match edn {
        Edn::Map(map) => map,
        other => panic!("not a map: {other}"),
    }
}

fn items<'e, 'a>(edn: &'e Edn<'a>) -> &'e [Edn<'a>] {
    match edn {
        Edn::Vector(items) => items,
        other => panic!("not a vector: {other}"),
    }
}

fn exported() -> String {
    let directory = tempfile::tempdir().unwrap();
    synthetic::write(directory.path(), 120, 100).unwrap();
    let lines = export::edn(directory.path()).unwrap();
    let text = fs::read_to_string(directory.path().join("history.edn")).unwrap();
    assert_eq!(text.lines().count() as u64, lines);
    let keys = fs::read_to_string(directory.path().join("keys.edn")).unwrap();
    assert!(map(&edn::read_string(&keys).unwrap()).len() >= 2, "{keys}");
    text
}

#[test]
fn every_process_does_one_thing_after_the_other_in_the_order_of_time() {
    let text = exported();
    let (mut last, mut busy) = (0, BTreeMap::new());
    for (index, operation) in (0..).zip(text.lines().map(Operation::read)) {
        assert_eq!(operation.number("index"), index);
        assert!(operation.number("time") >= last, "time goes back at {index}");
        last = operation.number("time");
        if operation.has("process", "nemesis") {
            continue;
        }
        let process = operation.number("process");
        let f = operation.get("f").clone();
        if operation.has("type", "invoke") {
            assert_eq!(busy.insert(process, f), None, "process {process} is busy at {index}");
        } else {
            assert_eq!(busy.remove(&process), Some(f), "process {process} was not asked at {index}");
        }
    }
    assert!(busy.is_empty(), "never completed: {busy:?}");
}

/// What `jepsen.checker/total-queue` computes: what was acknowledged, less what came out.
#[test]
fn a_total_queue_finds_everything_that_was_enqueued_once_it_is_drained() {
    let text = exported();
    let operations: Vec<_> = text.lines().map(Operation::read).collect();
    let values = |kind, f| operations.iter().filter(move |operation| operation.is(kind, f));
    let attempts: Vec<_> = values("invoke", "enqueue").map(|operation| operation.get("value")).collect();
    let drained: Vec<_> = values("ok", "drain").flat_map(Operation::items).collect();
    let lost: Vec<_> =
        values("ok", "enqueue").filter(|operation| !drained.contains(&operation.get("value"))).collect();
    assert!(drained.iter().all(|value| attempts.contains(value)), "something came out of nowhere");
    assert!(drained.len() > 1_000 && lost.len() < 20, "{} drained, {} lost", drained.len(), lost.len());
}

/// What `jepsen.tests.kafka` looks at first: each offset of a key has one value, and a lost write shows.
#[test]
fn sends_and_polls_agree_on_offsets_and_the_lost_write_shows() {
    let text = exported();
    let (mut sent, mut polled) = (BTreeMap::new(), BTreeMap::new());
    let operations: Vec<_> = text.lines().map(Operation::read).collect();
    for operation in operations.iter().filter(|operation| operation.is("ok", "send")) {
        for send in operation.items() {
            let [_, key, place] = items(send) else { panic!("{send}") };
            let [offset, value] = items(place) else { panic!("{place}") };
            assert_eq!(sent.insert((key, offset), value), None);
        }
    }
    for operation in operations.iter().filter(|operation| operation.is("ok", "poll")) {
        for poll in operation.items() {
            let [_, read] = items(poll) else { panic!("{poll}") };
            for (key, pairs) in map(read) {
                let pairs = items(pairs).iter().map(items);
                polled.extend(pairs.map(|pair| ((key, &pair[0]), &pair[1])));
            }
        }
    }
    let differ = |(place, value): &(_, &_)| polled.get(*place).is_some_and(|other| other != *value);
    assert_eq!(sent.iter().filter(|entry| differ(&(entry.0, entry.1))).count(), 0);
    let last = polled.keys().max().unwrap();
    let lost = sent.iter().filter(|(place, _)| !polled.contains_key(*place) && place <= &last);
    assert!((1..40).contains(&lost.count()));
}
