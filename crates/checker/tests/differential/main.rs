//! The search for an order (Q0) against two others that know nothing of it, on random histories of one message: some
//! are legal by construction, some of those are then changed in one place.
//!
//! * `stateright.rs`: a sequential queue of one message, written anew, under stateright's linearizability tester.
//!   Leases there have no length: they may end at any time.
//! * `moments.rs`: leases with a length, by going through all moments one by one and trying everything in each.

mod dice;
mod generate;
mod moments;
mod stateright;

use generate::{Generated, generate};
use weir_checker::{Event, Options, QueueOptions, judge};

/// Histories of each comparison.
const HISTORIES: u64 = 20_000;

/// Whether Q0 has an order, and what the named checks say.
fn explained(events: &[Event], attempts_max: Option<u32>) -> (bool, Vec<String>) {
    let queue = QueueOptions { attempts_max, ..QueueOptions::default() };
    let options = Options { clock_rate_percent: 0, clock_grain: 0, queue, ..Options::default() };
    let report = judge(events.iter().cloned().map(Ok), &options, 1).expect("nothing is read");
    let checked = report.checks.iter().find(|checked| checked.name.starts_with("Q0")).expect("Q0 is checked");
    assert!(checked.findings.unknown.is_empty(), "a search gave up: {events:#?}");
    let named = report.anomalies().filter(|anomaly| anomaly.check.starts_with('Q') && anomaly.check != "Q0");
    (checked.findings.anomalies.is_empty(), named.map(|anomaly| anomaly.name.clone()).collect())
}

/// Compares on many histories; both kinds must be there in numbers.
fn compare(timed: bool, other: impl Fn(&Generated) -> bool) {
    let (mut legal, mut illegal, mut reasoned) = (0, 0, 0);
    for seed in 0..HISTORIES {
        let generated = generate(seed, timed);
        if generated.repeats() {
            continue;
        }
        let (ours, named) = explained(&generated.events, generated.attempts_max);
        let theirs = other(&generated);
        assert_eq!(ours, theirs, "seed {seed}: explained here, explained there: {generated}");
        assert!(ours || generated.changed, "seed {seed}: legal by construction: {generated}");
        // A named anomaly is a reason why there is no order; but for what was delivered and never sent, which Q0
        // takes as given.
        let reasons: Vec<&String> = named.iter().filter(|name| *name != "phantom").collect();
        assert!(!ours || reasons.is_empty(), "seed {seed}: explained, and {reasons:?}: {generated}");
        reasoned += u32::from(!reasons.is_empty());
        if ours {
            legal += 1;
        } else {
            illegal += 1;
        }
    }
    eprintln!("{legal} legal and {illegal} illegal histories judged alike; {reasoned} have a named anomaly");
    assert!(legal > HISTORIES / 4 && illegal > HISTORIES / 8, "{legal} legal, {illegal} illegal");
}

#[test]
fn the_search_agrees_with_stateright_where_leases_have_no_length() {
    compare(false, stateright::explains);
}

#[test]
fn the_search_agrees_with_trying_every_moment_where_leases_have_a_length() {
    compare(true, moments::explains);
}
