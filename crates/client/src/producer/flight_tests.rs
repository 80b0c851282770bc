//! What the flight promises: order, same ids, and an honest outcome.

use bytes::Bytes;
use weir_types::{ErrorKind, ProducerEpoch, ProducerId, WeirError};

use super::flight::{Answered, Expired, Flight, Stamp};

const STAMP: Stamp = Stamp { id: ProducerId(7), epoch: ProducerEpoch(0) };
const NEXT_STAMP: Stamp = Stamp { id: ProducerId(7), epoch: ProducerEpoch(1) };

fn flight() -> Flight<&'static str> {
    Flight::new(5, true, Some(STAMP))
}

/// Sends batches of ten records each; the correlation ids and sequences.
fn send(flight: &mut Flight<&'static str>, items: &[&'static str]) -> Vec<(u64, u32)> {
    let one = |item: &&'static str| {
        let sequence = flight.next_sequence().map_or(0, |stamp| stamp.base_sequence);
        (flight.send(item, 10, Bytes::from_static(item.as_bytes())), sequence)
    };
    items.iter().map(one).collect()
}

fn send_again(flight: &mut Flight<&'static str>) -> Vec<(u64, Bytes)> {
    std::iter::from_fn(|| flight.send_again()).collect()
}

fn error(kind: ErrorKind, code: &str) -> Result<(u64, bool), WeirError> {
    Err(WeirError::new(kind, code, "text"))
}

fn out_of_sequence() -> Result<(u64, bool), WeirError> {
    error(ErrorKind::Invalid, "out-of-sequence")
}

#[test]
fn sequences_count_records_and_batches_in_flight_are_bounded() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a", "b", "c", "d", "e"]);
    assert_eq!(sent.iter().map(|(_, sequence)| *sequence).collect::<Vec<_>>(), [0, 10, 20, 30, 40]);
    assert!(!flight.has_room());
    assert_eq!(flight.answered(sent[0].0, Ok((100, false))), Answered::Delivered("a", 100, false));
    assert!(flight.has_room());
}

#[test]
fn a_broken_connection_sends_everything_again_in_order_under_the_same_ids() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a", "b", "c"]);
    let _ = flight.answered(sent[0].0, Ok((0, false)));
    assert!(flight.disconnected(true).is_empty());
    assert!(!flight.has_room(), "nothing new overtakes what is sent again");
    assert_eq!(send_again(&mut flight), [(sent[1].0, Bytes::from("b")), (sent[2].0, Bytes::from("c"))]);
    assert_eq!(flight.answered(sent[1].0, Ok((10, true))), Answered::Delivered("b", 10, true));
    assert!(flight.has_room());
}

#[test]
fn a_refusal_with_leave_to_retry_keeps_the_order_of_those_behind_it() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a", "b"]);
    let answer = flight.answered(sent[0].0, error(ErrorKind::Redirect, "not-leader"));
    assert!(matches!(answer, Answered::Again(_)));
    let _ = flight.disconnected(true);
    assert_eq!(send_again(&mut flight).len(), 2);
    assert_eq!(flight.answered(sent[0].0, Ok((0, false))), Answered::Delivered("a", 0, false));
    assert_eq!(flight.answered(sent[1].0, Ok((10, false))), Answered::Delivered("b", 10, false));
}

#[test]
fn a_batch_that_fails_for_good_sends_those_behind_it_under_another_stamp() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a", "b", "c"]);
    let failed = flight.answered(sent[0].0, error(ErrorKind::Invalid, "batch-too-large"));
    assert!(matches!(failed, Answered::Failed("a", _)));
    assert!(!flight.has_room() && !flight.needs_stamp(), "those in flight are answered first");
    assert_eq!(flight.answered(sent[1].0, out_of_sequence()), Answered::Returned);
    assert_eq!(flight.answered(sent[2].0, out_of_sequence()), Answered::Returned);
    assert!(flight.needs_stamp());
    flight.set_stamp(NEXT_STAMP);
    let returned: Vec<_> = std::iter::from_fn(|| flight.take_returned()).collect();
    assert_eq!(returned, ["b", "c"]);
    let sent = send(&mut flight, &returned);
    assert_eq!(sent.iter().map(|(_, sequence)| *sequence).collect::<Vec<_>>(), [0, 10]);
}

#[test]
fn a_blocked_key_fails_at_once_so_that_other_keys_do_not_wait_behind_it() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a", "b"]);
    let failed = flight.answered(sent[0].0, error(ErrorKind::Retry, "key-blocked"));
    assert!(matches!(failed, Answered::Failed("a", _)));
    assert_eq!(flight.answered(sent[1].0, out_of_sequence()), Answered::Returned);
    assert!(flight.needs_stamp());
}

#[test]
fn an_expired_batch_is_unknown_only_if_an_answer_to_it_was_lost() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a", "b"]);
    let _ = flight.answered(sent[0].0, error(ErrorKind::Retry, "no-leader"));
    let _ = flight.disconnected(true);
    let expired = flight.expire(|item| *item == "a");
    assert_eq!(expired, [Expired { item: "a", lost: false }]);
    let expired = flight.expire(|item| *item == "b");
    assert_eq!(expired, [Expired { item: "b", lost: true }]);
    assert!(flight.needs_stamp(), "their sequences may be missing");
}

#[test]
fn batches_behind_an_expired_one_are_asked_for_before_they_are_stamped_anew() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a", "b", "c"]);
    let _ = flight.disconnected(true);
    let _ = flight.expire(|item| *item == "a");
    assert_eq!(send_again(&mut flight).len(), 2);
    assert_eq!(flight.answered(sent[1].0, Ok((10, true))), Answered::Delivered("b", 10, true));
    assert_eq!(flight.answered(sent[2].0, out_of_sequence()), Answered::Returned);
    assert!(flight.needs_stamp());
}

#[test]
fn a_connection_that_never_opened_loses_no_answer() {
    let mut flight = flight();
    send(&mut flight, &["a"]);
    let _ = flight.disconnected(false);
    assert_eq!(flight.expire(|_| true), [Expired { item: "a", lost: false }]);
}

#[test]
fn a_producer_that_the_cluster_forgot_goes_on_under_another_stamp() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a"]);
    assert_eq!(flight.answered(sent[0].0, out_of_sequence()), Answered::Returned);
    assert!(flight.needs_stamp());
}

#[test]
fn a_lost_answer_and_a_forgotten_producer_together_leave_the_outcome_unknown() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a"]);
    let _ = flight.disconnected(true);
    let _ = flight.send_again();
    assert!(matches!(flight.answered(sent[0].0, out_of_sequence()), Answered::Unknown("a", _)));
}

#[test]
fn an_answer_out_of_turn_is_not_taken() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a", "b"]);
    assert_eq!(flight.answered(sent[1].0, Ok((0, false))), Answered::Misplaced);
    assert_eq!(flight.front(), Some(&"a"));
}

#[test]
fn without_ids_one_batch_is_in_flight_and_a_lost_one_is_not_sent_again() {
    let mut flight = Flight::new(5, false, None);
    assert!(!flight.needs_stamp());
    let sent = send(&mut flight, &["a"]);
    assert!(!flight.has_room());
    let _ = flight.answered(sent[0].0, error(ErrorKind::Retry, "no-leader"));
    assert!(flight.disconnected(true).is_empty(), "refused, so that it can be sent again");
    assert_eq!(send_again(&mut flight).len(), 1);
    assert_eq!(flight.disconnected(true), ["a"]);
    assert!(flight.has_room());
}

fn sealed() -> Result<(u64, bool), WeirError> {
    error(ErrorKind::Retry, "partition-sealed")
}

#[test]
fn a_sealed_partition_gives_back_what_it_did_not_take_in_order() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a", "b", "c"]);
    assert_eq!(flight.answered(sent[0].0, Ok((0, false))), Answered::Delivered("a", 0, false));
    assert_eq!(flight.answered(sent[1].0, sealed()), Answered::Returned);
    assert!(!flight.is_over() && !flight.has_room() && !flight.needs_stamp(), "c is not answered yet");
    assert_eq!(flight.answered(sent[2].0, sealed()), Answered::Returned);
    assert!(flight.is_over() && !flight.has_room() && !flight.needs_stamp());
    let returned: Vec<_> = std::iter::from_fn(|| flight.take_returned()).collect();
    assert_eq!(returned, ["b", "c"]);
}

#[test]
fn what_a_sealed_partition_took_in_is_asked_for_before_anything_goes_elsewhere() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a", "b"]);
    let _ = flight.disconnected(true);
    flight.seal();
    assert!(!flight.is_over() && !flight.has_room());
    assert_eq!(send_again(&mut flight).len(), 2);
    assert_eq!(flight.answered(sent[0].0, Ok((7, true))), Answered::Delivered("a", 7, true));
    assert_eq!(flight.answered(sent[1].0, sealed()), Answered::Returned);
    assert!(flight.is_over());
}

#[test]
fn what_came_back_because_of_a_gap_goes_elsewhere_before_what_was_sealed_out() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a", "b", "c"]);
    let failed = flight.answered(sent[0].0, error(ErrorKind::Invalid, "batch-too-large"));
    assert!(matches!(failed, Answered::Failed("a", _)));
    assert_eq!(flight.answered(sent[1].0, out_of_sequence()), Answered::Returned);
    assert_eq!(flight.answered(sent[2].0, sealed()), Answered::Returned);
    assert!(flight.is_over() && !flight.needs_stamp());
    let returned: Vec<_> = std::iter::from_fn(|| flight.take_returned()).collect();
    assert_eq!(returned, ["b", "c"]);
}

#[test]
fn a_sealed_partition_is_over_without_ids_too() {
    let mut flight = Flight::new(5, false, None);
    let sent = send(&mut flight, &["a"]);
    assert_eq!(flight.answered(sent[0].0, sealed()), Answered::Returned);
    assert!(flight.is_over() && !flight.has_room());
    assert_eq!(flight.take_returned(), Some("a"));
}

#[test]
fn of_a_sealed_partition_that_is_gone_what_may_have_been_taken_in_is_unknown() {
    let mut flight = flight();
    let sent = send(&mut flight, &["a"]);
    let _ = flight.disconnected(true);
    let _ = flight.send_again();
    let gone = error(ErrorKind::NotFound, "partition-sealed");
    assert!(matches!(flight.answered(sent[0].0, gone), Answered::Unknown("a", _)));
    assert!(flight.is_over());
}
