//! What was to go to a partition that is split or merged goes on in those that own its keys now.

use weir_types::{KeyHash, KeyRange};

use super::batch::Batch;
use super::intake::Intake;

/// A partition that owns some of the keys now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heir<'a> {
    pub(crate) keys: KeyRange,
    pub(crate) intake: &'a Intake,
}

/// Cuts batches anew, in order: a record goes on in the partition of its key, so that those of a key stay in order. A record
/// without a key, or one that was sent to a partition that is not that of its key, goes to one of them.
pub(crate) fn recut(batches: impl IntoIterator<Item = Batch>, heirs: &[Heir<'_>]) {
    assert!(!heirs.is_empty(), "somebody owns the keys");
    for (turn, batch) in batches.into_iter().enumerate() {
        batch.recut(|record| {
            let heir = record.key.map_or(turn % heirs.len(), |key| heir_of(KeyHash::of(key), heirs));
            heirs[heir].intake.take_over(record)
        });
    }
}

fn heir_of(hash: KeyHash, heirs: &[Heir<'_>]) -> usize {
    let owner = heirs.iter().position(|heir| heir.keys.contains(hash));
    owner.unwrap_or(hash.0 as usize % heirs.len())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::sync::Arc;
    use std::time::Duration;

    use futures::FutureExt as _;
    use tokio::sync::Semaphore;
    use tokio::time::Instant;
    use weir_types::batch::BatchView;

    use super::*;
    use crate::{Codec, Delivery, Error, PendingDelivery, ProducerOptions, Record};

    const ROOM: usize = 1 << 20;

    fn intake(batch_records_max: u32) -> Intake {
        Intake::new(&ProducerOptions { batch_records_max, ..ProducerOptions::default() })
    }

    fn halves<'a>(left: &'a Intake, right: &'a Intake) -> [Heir<'a>; 2] {
        [(0, left), (1, right)].map(|(half, intake)| Heir { keys: KeyRange::part(half, 2), intake })
    }

    fn send(to: &Intake, room: &Arc<Semaphore>, record: &Record) -> PendingDelivery {
        let room = Arc::clone(room).try_acquire_many_owned(record.buffer_bytes() as u32).unwrap();
        to.push(record, 5, room, Instant::now()).unwrap()
    }

    fn taken(from: &Intake) -> Vec<Batch> {
        std::iter::from_fn(|| from.take()).collect()
    }

    /// Key and value of each record, as text, in the order in which they would be sent.
    fn records(batch: &Batch) -> Vec<(String, String)> {
        let bytes = batch.encode(None, Codec::None).unwrap();
        let view = BatchView::verify(&bytes).unwrap();
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
        view.records(view.section())
            .map(|record| record.map(|record| (text(record.key), text(record.value))).unwrap())
            .collect()
    }

    /// Answers all batches as a partition would that begins at this offset.
    fn deliver(batches: Vec<Batch>, partition: u32, mut offset: u64) {
        for batch in batches {
            let count = u64::from(batch.count());
            batch.answer(Ok(Delivery { partition, offset, duplicate: false }));
            offset += count;
        }
    }

    #[test]
    fn each_key_keeps_its_order_and_every_record_is_answered_from_where_it_went() {
        let (old, left, right) = (intake(4), intake(3), intake(100));
        let room = Arc::new(Semaphore::new(ROOM));
        let keys = ["key-1", "key-2", "key-3", "key-4", "key-5"];
        let pending: Vec<_> = (0..50)
            .map(|n| (n, send(&old, &room, &Record::new(n.to_string()).key(keys[n % keys.len()]))))
            .collect();
        recut(taken(&old), &halves(&left, &right));
        let (to_left, to_right) = (taken(&left), taken(&right));
        let all = |batches: &[Batch]| batches.iter().flat_map(records).collect::<Vec<_>>();
        let (in_left, in_right) = (all(&to_left), all(&to_right));
        assert_eq!(in_left.len() + in_right.len(), 50);
        for (half, found) in [(0, &in_left), (1, &in_right)] {
            assert!(!found.is_empty());
            for (place, (key, number)) in found.iter().enumerate() {
                assert!(KeyRange::part(half, 2).contains(KeyHash::of(key.as_bytes())));
                let later = found[place + 1..].iter().filter(|(other, _)| other == key);
                for (_, after) in later {
                    assert!(number.parse::<u32>().unwrap() < after.parse::<u32>().unwrap(), "of key {key}");
                }
            }
        }
        deliver(to_left, 7, 100);
        deliver(to_right, 8, 200);
        for (number, pending) in pending {
            let delivery = pending.now_or_never().unwrap().unwrap();
            let (found, base) = if delivery.partition == 7 { (&in_left, 100) } else { (&in_right, 200) };
            assert_eq!(found[(delivery.offset - base) as usize].1, number.to_string());
        }
        assert_eq!(room.available_permits(), ROOM, "all room came back");
    }

    #[test]
    fn a_record_is_the_same_after_it() {
        let (old, new) = (intake(10), intake(10));
        let room = Arc::new(Semaphore::new(ROOM));
        let full = Record::new("v").key("k").header("one", "1").header("two", "").timestamp_ms(77);
        let tombstone = Record { key: Some("k".into()), ..Record::default() };
        let early = Record::new("early").timestamp_ms(3);
        for record in [&full, &tombstone, &early] {
            drop(send(&old, &room, record));
        }
        let held = room.available_permits();
        let before = old.take().unwrap();
        let bytes = before.encode(None, Codec::None).unwrap();
        recut([before], &[Heir { keys: KeyRange::ALL, intake: &new }]);
        assert_eq!(room.available_permits(), held, "the room goes with the records");
        assert_eq!(new.take().unwrap().encode(None, Codec::None).unwrap(), bytes);
    }

    #[test]
    fn records_without_a_key_go_to_any_of_them_and_none_is_lost() {
        let (old, left, right) = (intake(2), intake(100), intake(100));
        let room = Arc::new(Semaphore::new(ROOM));
        (0..8).for_each(|n| drop(send(&old, &room, &Record::new(n.to_string()))));
        recut(taken(&old), &halves(&left, &right));
        let counts = [&left, &right].map(|intake| taken(intake).iter().map(Batch::count).sum::<u32>());
        assert_eq!(counts, [4, 4]);
    }

    #[test]
    fn a_key_that_none_of_them_owns_goes_to_one_of_them_always() {
        let (old, left, right) = (intake(2), intake(100), intake(100));
        let room = Arc::new(Semaphore::new(ROOM));
        (0..6).for_each(|n| drop(send(&old, &room, &Record::new(n.to_string()).key("stranger"))));
        let own = (0..4).find(|part| !KeyRange::part(*part, 4).contains(KeyHash::of(b"stranger"))).unwrap();
        let heirs = [
            Heir { keys: KeyRange::part(2 * own, 8), intake: &left },
            Heir { keys: KeyRange::part(2 * own + 1, 8), intake: &right },
        ];
        recut(taken(&old), &heirs);
        let mut counts = [&left, &right].map(|intake| taken(intake).iter().map(Batch::count).sum::<u32>());
        counts.sort_unstable();
        assert_eq!(counts, [0, 6]);
    }

    #[test]
    fn a_batch_is_due_with_the_first_of_its_records() {
        let (old, new) = (intake(10), intake(10));
        let room = Arc::new(Semaphore::new(ROOM));
        drop(send(&old, &room, &Record::new("first")));
        let due = old.deadline().unwrap();
        let later = Arc::clone(&room).try_acquire_many_owned(100).unwrap();
        drop(new.push(&Record::new("later"), 5, later, due + Duration::from_mins(1)).unwrap());
        recut(taken(&old), &[Heir { keys: KeyRange::ALL, intake: &new }]);
        assert_eq!(new.take().map(|batch| (batch.count(), batch.deadline())), Some((2, due)));
    }

    #[test]
    fn what_is_cut_twice_is_answered_in_the_end_and_so_is_what_nobody_takes() {
        let (old, between, last) = (intake(10), intake(10), intake(10));
        let room = Arc::new(Semaphore::new(ROOM));
        let pending = send(&old, &room, &Record::new("travels"));
        let lost = send(&old, &room, &Record::new("refused").key("k"));
        let all = |intake| [Heir { keys: KeyRange::ALL, intake }];
        recut(taken(&old), &all(&between));
        recut(taken(&between), &all(&last));
        let refusing = intake(10);
        refusing.refuse(Error::Closed { what: "producer" });
        let mut batches = taken(&last);
        assert_eq!(batches[0].count(), 2);
        recut(batches.drain(..), &all(&refusing));
        for pending in [pending, lost] {
            let answer = pending.now_or_never().unwrap();
            assert!(matches!(answer, Err(Error::Closed { .. })), "{answer:?}");
        }
        assert_eq!(room.available_permits(), ROOM);
    }
}
