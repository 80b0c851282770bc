//! One partition of an operator's input: records in, outputs and changes of state out.

use bytes::Bytes;

use super::clock::EventClock;
use super::state::{Space, State};
use super::step::STEP_BYTES_MAX;
use super::{Handler, HandlerError, Step};
use crate::{Outputs, Record, StreamRecord};

/// What one record may emit and change, in bytes: with a step that is almost full before it, it still fits.
const RECORD_BYTES_MAX: usize = 2 << 20;
/// Keys of what the task keeps for itself.
const LATEST: &[u8] = b"latest";
const POSITION: &[u8] = b"position";

/// The state of one partition, how far its event time is, and at which record it is.
#[derive(Debug)]
pub(crate) struct Task {
    state: State,
    clock: EventClock,
}

/// Records that were handled, and what came of them.
#[derive(Debug, Default)]
pub(crate) struct Handled {
    /// How many, from the front.
    pub(crate) records: usize,
    /// Records for other topics.
    pub(crate) outputs: Outputs,
    /// Records for the changelog.
    pub(crate) changes: Vec<Record>,
}

impl Task {
    /// The task that this state is of.
    pub(crate) fn restored(state: State, out_of_order_ms: u64) -> Self {
        let latest = number(&state, LATEST);
        Self { state, clock: EventClock::new(latest, out_of_order_ms) }
    }

    /// The record that the state has to see next; none before the first.
    pub(crate) fn position(&self) -> Option<u64> {
        number(&self.state, POSITION)
    }

    /// Handles records from the front until they are all handled or the step is large enough.
    ///
    /// # Errors
    /// The handler's, with the place of the record: the task is of no use any more.
    pub(crate) fn handle(
        &mut self,
        handler: &dyn Handler,
        records: &[StreamRecord],
    ) -> Result<Handled, (usize, HandlerError)> {
        let mut handled = Handled::default();
        let (mut bytes, mut risen) = (0, false);
        for (place, record) in records.iter().enumerate() {
            risen |= self.clock.sees(record.timestamp_ms);
            let outputs = std::mem::take(&mut handled.outputs);
            let (state, clock) = (&mut self.state, self.clock);
            let mut step = Step { state, outputs, bytes: 0, bytes_before: bytes, clock };
            handle_one(handler, record, &mut step).map_err(|error| (place, error))?;
            bytes += step.bytes;
            handled.outputs = step.outputs;
            handled.records += 1;
            if bytes + self.state.changed_bytes() >= STEP_BYTES_MAX {
                break;
            }
        }
        if handler.keeps_state()
            && let Some(last) = handled.records.checked_sub(1)
        {
            handled.changes = self.changes(records[last].offset + 1, risen);
        }
        Ok(handled)
    }

    /// What has changed, as records of the changelog: each key once, with its last value.
    fn changes(&mut self, position: u64, clock_too: bool) -> Vec<Record> {
        let mut note = |key, value: u64| {
            self.state.put(Space::Task, key, Bytes::copy_from_slice(&value.to_be_bytes()));
        };
        note(POSITION, position);
        if let Some(latest) = self.clock.latest_ms().filter(|_| clock_too) {
            note(LATEST, latest);
        }
        let changes = self.state.take_changes().into_iter();
        changes.map(|(key, value)| Record { key: Some(key), value, ..Record::default() }).collect()
    }
}

fn handle_one(handler: &dyn Handler, record: &StreamRecord, step: &mut Step<'_>) -> Result<(), HandlerError> {
    handler.watermark(step)?;
    let bytes = |step: &Step<'_>| step.bytes + step.state.changed_bytes();
    let before = bytes(step);
    handler.handle(record, step)?;
    let own = bytes(step) - before;
    if own > RECORD_BYTES_MAX {
        return Err(format!("it emits and changes {own} bytes, at most {RECORD_BYTES_MAX} fit").into());
    }
    Ok(())
}

fn number(state: &State, key: &[u8]) -> Option<u64> {
    let found = state.get(Space::Task, key)?;
    found.first_chunk().map(|number| u64::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::time::Duration;

    use super::super::{Aggregator, Window, Windowed, Windows};
    use super::*;

    fn record(key: &str, timestamp_ms: u64) -> StreamRecord {
        StreamRecord {
            topic: "clicks".into(),
            partition: 0,
            offset: timestamp_ms,
            timestamp_ms,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value: Some(Bytes::from_static(b"x")),
            headers: Vec::new(),
        }
    }

    /// Counts, and tells each window's count as `key start..end count`, late ones as `late key`.
    struct Count;

    impl Aggregator for Count {
        type Value = u64;

        fn add(&self, value: &mut u64, _: &StreamRecord) {
            *value += 1;
        }

        fn merge(&self, earlier: &mut u64, later: u64) {
            *earlier += later;
        }

        fn finish(
            &self,
            key: &[u8],
            window: Window,
            value: u64,
            step: &mut Step<'_>,
        ) -> Result<(), HandlerError> {
            let key = std::str::from_utf8(key)?;
            step.emit("counts", Record::new(format!("{key} {}..{} {value}", window.start_ms, window.end_ms)));
            Ok(())
        }

        fn late(&self, record: &StreamRecord, _: Window, step: &mut Step<'_>) -> Result<(), HandlerError> {
            step.emit("counts", Record::new(format!("late {}", record.timestamp_ms)));
            Ok(())
        }
    }

    fn state_of(changelog: &[(Bytes, Option<Bytes>)]) -> State {
        let mut state = State::default();
        for (key, value) in changelog {
            state.restore(key.clone(), value.clone());
        }
        state
    }

    /// What the operator tells of these records, in steps of one record each; after each the task is made anew from
    /// what it wrote to its changelog.
    fn told(handler: &dyn Handler, out_of_order_ms: u64, records: &[(&str, u64)]) -> Vec<String> {
        let (mut changelog, mut told) = (Vec::new(), Vec::new());
        for (key, timestamp_ms) in records {
            let mut task = Task::restored(state_of(&changelog), out_of_order_ms);
            let handled = task.handle(handler, &[record(key, *timestamp_ms)]).unwrap();
            changelog.extend(handled.changes.into_iter().map(|record| (record.key.unwrap(), record.value)));
            told.extend(handled.outputs.values());
        }
        let all: Vec<_> = records.iter().map(|(key, timestamp_ms)| record(key, *timestamp_ms)).collect();
        let at_once = Task::restored(State::default(), out_of_order_ms).handle(handler, &all).unwrap();
        assert_eq!(at_once.outputs.values(), told, "steps and restarts make no difference");
        told
    }

    #[test]
    fn a_tumbling_window_is_told_when_the_watermark_reaches_its_end() {
        let handler = Windowed::new(Windows::tumbling(Duration::from_millis(10)), Count);
        let records = [("a", 1), ("b", 3), ("a", 9), ("a", 12), ("a", 14), ("b", 31)];
        assert_eq!(told(&handler, 0, &records), ["a 0..10 2", "b 0..10 1", "a 10..20 2"]);
    }

    #[test]
    fn records_out_of_order_count_until_the_window_is_over_and_are_late_then() {
        let windows = Windows::tumbling(Duration::from_millis(10));
        let records = [("a", 1), ("a", 12), ("a", 5), ("a", 15), ("a", 6), ("a", 40)];
        assert_eq!(told(&Windowed::new(windows, Count), 5, &records), ["a 0..10 2", "late 6", "a 10..20 2"]);
        let patient = Windowed::new(windows, Count).lateness(Duration::from_millis(10));
        assert_eq!(told(&patient, 5, &records), ["a 0..10 3", "a 10..20 2"]);
    }

    #[test]
    fn a_record_counts_in_every_sliding_window() {
        let windows = Windows::sliding(Duration::from_millis(10), Duration::from_millis(5));
        let records = [("a", 7), ("a", 11), ("a", 99)];
        let expected = ["a 0..10 1", "a 5..15 2", "a 10..20 1"];
        assert_eq!(told(&Windowed::new(windows, Count), 0, &records), expected);
    }

    #[test]
    fn sessions_grow_and_become_one_when_a_record_closes_the_gap() {
        let handler = Windowed::new(Windows::session(Duration::from_millis(10)), Count);
        let records = [("a", 0), ("b", 2), ("a", 15), ("a", 8), ("a", 60)];
        assert_eq!(told(&handler, 20, &records), ["b 2..12 1", "a 0..25 3"]);
    }

    #[test]
    fn a_handler_s_own_state_comes_back() {
        let handler = |record: &StreamRecord, step: &mut Step<'_>| -> Result<(), HandlerError> {
            let key = record.key.clone().unwrap_or_default();
            let seen = step.get(&key).map_or(0, |seen| seen[0]) + 1;
            step.put(&key, vec![seen]);
            if seen == 3 {
                step.remove(&key);
            }
            step.emit("counts", Record::new(format!("{} {seen}", String::from_utf8_lossy(&key))));
            Ok(())
        };
        let records = [("a", 1), ("a", 2), ("b", 3), ("a", 4), ("a", 5)];
        assert_eq!(told(&handler, 0, &records), ["a 1", "a 2", "b 1", "a 3", "a 1"]);
    }

    #[test]
    fn a_step_is_closed_when_it_is_large() {
        let handler = |_: &StreamRecord, step: &mut Step<'_>| -> Result<(), HandlerError> {
            step.emit("copies", Record::new(vec![0; 400 << 10]));
            Ok(())
        };
        let records: Vec<_> = (0..5).map(|place| record("a", place)).collect();
        let mut task = Task::restored(State::default(), 0);
        assert_eq!(task.handle(&handler, &records).unwrap().records, 3);
        assert_eq!(task.position(), Some(3));
        assert_eq!(task.handle(&handler, &records[3..]).unwrap().records, 2);
    }

    #[test]
    fn a_record_that_emits_too_much_is_refused() {
        let handler = |record: &StreamRecord, step: &mut Step<'_>| -> Result<(), HandlerError> {
            (0..record.offset).for_each(|_| step.emit("copies", Record::new(vec![0; 900 << 10])));
            Ok(())
        };
        assert!(Task::restored(State::default(), 0).handle(&handler, &[record("a", 2)]).is_ok());
        let (_, error) = Task::restored(State::default(), 0).handle(&handler, &[record("a", 3)]).unwrap_err();
        assert!(error.to_string().contains("at most 2097152 fit"), "{error}");
    }

    #[test]
    fn a_key_that_goes_to_windows_has_a_limit_of_its_own() {
        let handler = Windowed::new(Windows::tumbling(Duration::from_millis(10)), Count);
        let handled = |bytes: usize| {
            let records = [record(&"k".repeat(bytes), 1)];
            Task::restored(State::default(), 0)
                .handle(&handler, &records)
                .map_err(|(_, error)| error.to_string())
        };
        assert!(handled(60 << 10).is_ok());
        assert!(handled((60 << 10) + 1).is_err_and(|error| error.contains("too long for a window: 61440")));
    }

    /// Remembers much of each window, and tells it.
    struct Large;

    impl Aggregator for Large {
        type Value = Vec<u8>;

        fn add(&self, value: &mut Vec<u8>, _: &StreamRecord) {
            value.resize(100 << 10, b'x');
        }

        fn finish(
            &self,
            _: &[u8],
            _: Window,
            value: Vec<u8>,
            step: &mut Step<'_>,
        ) -> Result<(), HandlerError> {
            step.emit("windows", Record::new(value));
            Ok(())
        }
    }

    #[test]
    fn windows_that_end_at_once_are_told_in_several_steps() {
        let handler = Windowed::new(Windows::tumbling(Duration::from_millis(10)), Large);
        let mut task = Task::restored(State::default(), 0);
        let many: Vec<_> = (0..30).map(|key| record(&format!("key {key}"), 1)).collect();
        let mut rest = &many[..];
        while !rest.is_empty() {
            let handled = task.handle(&handler, rest).unwrap();
            assert!(handled.outputs.values().is_empty());
            rest = &rest[handled.records..];
        }
        let (mut told, mut steps) = (0, 0);
        while told < 30 {
            let handled = task.handle(&handler, &[record("later", 1_000 + steps)]).unwrap();
            let outputs = handled.outputs.values().len();
            assert!((1..=11).contains(&outputs), "{outputs} windows in step {steps}");
            told += outputs;
            steps += 1;
        }
        assert_eq!((told, steps), (30, 3));
    }

    #[test]
    fn a_session_that_a_late_record_belongs_to_takes_it() {
        let handler = Windowed::new(Windows::session(Duration::from_millis(10)), Count);
        // The watermark is at 25 when 14 comes; its own ten milliseconds are over, those of its session are not.
        let records = [("a", 10), ("a", 18), ("a", 45), ("a", 14), ("a", 90)];
        assert_eq!(told(&handler, 20, &records), ["a 10..28 3", "a 45..55 1"]);
    }

    #[test]
    fn a_record_that_cannot_be_handled_is_named() {
        let handler = |record: &StreamRecord, _: &mut Step<'_>| -> Result<(), HandlerError> {
            if record.offset == 2 { Err("no".into()) } else { Ok(()) }
        };
        let records: Vec<_> = (0..5).map(|place| record("a", place)).collect();
        let (place, error) = Task::restored(State::default(), 0).handle(&handler, &records).unwrap_err();
        assert_eq!((place, error.to_string().as_str()), (2, "no"));
    }
}
