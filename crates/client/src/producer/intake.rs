//! Where the records of one partition gather while its connection is busy.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;
use weir_types::{BatchBuilder, BatchError};

use super::batch::{Batch, Loose};
use super::delivery::{BatchOutcome, PendingDelivery, Place};
use crate::{Error, ProducerOptions, Record, Result};

/// Full batches in order, and the one that still takes records. It is bounded by the producer's buffer: each record
/// brings its room with it.
#[derive(Debug)]
pub(crate) struct Intake {
    state: Mutex<State>,
    arrived: Notify,
    bytes_max: usize,
    records_max: u32,
}

#[derive(Debug, Default)]
struct State {
    full: VecDeque<Batch>,
    open: Option<Batch>,
    /// Of the last batch that was opened: batches are answered in order, so that it stands for all.
    newest: Option<BatchOutcome>,
    /// Why no more records are taken.
    refusal: Option<Error>,
}

impl Intake {
    pub(crate) fn new(options: &ProducerOptions) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            bytes_max: options.batch_bytes_max,
            records_max: options.batch_records_max,
        }
    }

    /// Takes a record into the open batch, or the next one if that is full. `deadline` is that of a batch begun by it.
    pub(crate) fn push(
        &self,
        record: &Record,
        timestamp_ms: u64,
        room: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Result<PendingDelivery> {
        let add = |batch: &mut BatchBuilder| record.add_to(batch, timestamp_ms);
        self.put(record.buffer_bytes(), add, Some(room), deadline).map(PendingDelivery::from)
    }

    /// Takes a record that was in a batch of another partition.
    pub(crate) fn take_over(&self, mut record: Loose<'_>) -> Place {
        let (room, deadline) = (record.room.take(), record.deadline);
        let taken = self.put(record.buffer_bytes(), |batch| record.add_to(batch), room, deadline);
        taken.unwrap_or_else(Place::failed)
    }

    fn put(
        &self,
        bytes: usize,
        add: impl FnOnce(&mut BatchBuilder) -> Result<(), BatchError>,
        room: Option<OwnedSemaphorePermit>,
        deadline: Instant,
    ) -> Result<Place> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        let fits = |batch: &Batch| batch.fits(bytes, self.bytes_max, self.records_max);
        if state.open.as_ref().is_some_and(|open| !fits(open)) {
            state.full.extend(state.open.take());
        }
        let fresh = state.open.is_none();
        let mut batch = state.open.take().unwrap_or_else(|| Batch::new(deadline));
        let pushed = batch.push(add, room, deadline);
        if batch.is_empty() {
            return pushed.map_err(Error::Record);
        }
        if fresh {
            state.newest = Some(batch.outcome());
            self.arrived.notify_one();
        }
        state.open = Some(batch);
        pushed.map_err(Error::Record)
    }

    /// Whether the next record begins a batch.
    pub(crate) fn is_fresh(&self) -> bool {
        self.state.lock().open.is_none()
    }

    /// The oldest batch: closing the open one, since the connection is ready for it.
    pub(crate) fn take(&self) -> Option<Batch> {
        let mut state = self.state.lock();
        state.full.pop_front().or_else(|| state.open.take())
    }

    /// The oldest batch, if its time is up.
    pub(crate) fn take_expired(&self, now: Instant) -> Option<Batch> {
        (self.deadline()? <= now).then(|| self.take()).flatten()
    }

    /// When the oldest batch's time is up; none when there is no batch.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let state = self.state.lock();
        state.full.front().or(state.open.as_ref()).map(Batch::deadline)
    }

    /// Waits until a batch has begun since the last wait ended.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes no more records.
    pub(crate) fn refuse(&self, why: Error) {
        self.state.lock().refusal.get_or_insert(why);
    }

    /// Completes with the last record taken so far.
    pub(crate) fn newest(&self) -> Option<BatchOutcome> {
        self.state.lock().newest.clone()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::sync::{Arc, LazyLock};

    use tokio::sync::Semaphore;

    use super::*;

    fn intake(batch_bytes_max: usize, batch_records_max: u32) -> Intake {
        Intake::new(&ProducerOptions { batch_bytes_max, batch_records_max, ..ProducerOptions::default() })
    }

    fn push(intake: &Intake, value: &'static str) -> Result<PendingDelivery> {
        static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(1000)));
        let room = Arc::clone(&ROOM).try_acquire_owned().unwrap();
        intake.push(&Record::new(value), 0, room, Instant::now())
    }

    fn counts(intake: &Intake) -> Vec<u32> {
        std::iter::from_fn(|| intake.take()).map(|batch| batch.count()).collect()
    }

    #[test]
    fn records_gather_until_the_batch_is_taken() {
        let intake = intake(1 << 20, 100);
        let _ = (push(&intake, "a"), push(&intake, "b"));
        assert!(!intake.is_fresh());
        assert_eq!(intake.take().unwrap().count(), 2);
        assert!(intake.is_fresh());
        let _ = push(&intake, "c");
        assert_eq!(counts(&intake), [1]);
    }

    #[test]
    fn a_full_batch_makes_room_for_the_next_one_and_order_stays() {
        let by_count = intake(1 << 20, 2);
        for value in ["a", "b", "c", "d", "e"] {
            let _ = push(&by_count, value);
        }
        assert_eq!(counts(&by_count), [2, 2, 1]);

        let by_bytes = intake(140, 100);
        for value in ["a", "b", "c", "d", "e"] {
            let _ = push(&by_bytes, value);
        }
        assert!(counts(&by_bytes).len() > 1);
    }

    #[test]
    fn a_record_over_a_limit_is_refused_and_leaves_no_empty_batch() {
        let intake = intake(1 << 20, 100);
        let huge = Record::new(vec![0; weir_types::limits::RECORD_BYTES_MAX + 1]);
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let refused = intake.push(&huge, 0, room, Instant::now());
        assert!(matches!(refused, Err(Error::Record(_))));
        assert!(intake.take().is_none());
    }

    #[test]
    fn the_first_refusal_stays() {
        let intake = intake(1 << 20, 100);
        intake.refuse(Error::Closed { what: "producer" });
        intake.refuse(Error::Closed { what: "other" });
        assert!(matches!(push(&intake, "a"), Err(Error::Closed { what: "producer" })));
    }
}
