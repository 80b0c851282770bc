//! The books of a run: what was published, acked and counted, and whether it adds up.

use std::collections::BTreeMap;

use super::wc::Counts;

/// What the reader of the stream found.
#[derive(Debug, Default)]
pub(super) struct EventTally {
    by_task: BTreeMap<u64, Counts>,
    repeated: u64,
    total: Counts,
    /// Tasks with two events that say different things, or with an id that was never given.
    wrong: Vec<String>,
}

impl EventTally {
    /// Enters an event. All are summed: nobody sorts out repeated ones.
    pub(super) fn enter(&mut self, task: u64, counts: Counts) {
        self.total += counts;
        match self.by_task.get(&task) {
            None => {
                self.by_task.insert(task, counts);
            }
            Some(first) => {
                self.repeated += 1;
                if *first != counts {
                    self.wrong.push(format!("task {task} has events that differ"));
                }
            }
        }
    }

    /// Tasks with an event.
    pub(super) fn tasks(&self) -> u64 {
        self.by_task.len() as u64
    }

    /// Events, repeated ones among them.
    pub(super) fn events(&self) -> u64 {
        self.tasks() + self.repeated
    }

    /// Events of tasks that had one already.
    pub(super) fn repeated(&self) -> u64 {
        self.repeated
    }

    /// The sum over all events.
    pub(super) fn total(&self) -> Counts {
        self.total
    }

    /// Published tasks (ids below `tasks`) without an event.
    pub(super) fn lost(&self, tasks: u64) -> u64 {
        tasks - self.by_task.range(..tasks).count() as u64
    }

    /// What cannot be, in words.
    pub(super) fn contradictions(&self, tasks: u64) -> Vec<String> {
        let unknown = self.by_task.range(tasks..).map(|(task, _)| format!("task {task} was never published"));
        self.wrong.iter().cloned().chain(unknown).collect()
    }
}

/// Which tasks' acks were acknowledged.
#[derive(Debug, Default)]
pub(super) struct AckTally {
    acks: BTreeMap<u64, u64>,
}

impl AckTally {
    /// Enters an acknowledged ack.
    pub(super) fn enter(&mut self, task: u64) {
        *self.acks.entry(task).or_default() += 1;
    }

    /// Tasks that are done.
    pub(super) fn tasks(&self) -> u64 {
        self.acks.len() as u64
    }

    /// Acks beyond the first of a task: it was delivered after its ack was acknowledged, or stood in the queue twice.
    pub(super) fn doubled(&self) -> u64 {
        self.acks.values().map(|acks| acks - 1).sum()
    }
}

/// How long publishing took.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    micros: Vec<u64>,
}

impl Latencies {
    /// Enters one.
    pub(super) fn enter(&mut self, micros: u64) {
        self.micros.push(micros);
    }

    /// The value, in microseconds, that `percent` of a hundred do not exceed; none without entries.
    pub(super) fn percentile(&mut self, percent: usize) -> Option<u64> {
        self.micros.sort_unstable();
        let rank = (self.micros.len() * percent).div_ceil(100);
        self.micros.get(rank.saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(lines: u64) -> Counts {
        Counts { lines, words: 2 * lines }
    }

    #[test]
    fn a_repeated_event_is_counted_as_such_and_summed_like_any_other() {
        let mut tally = EventTally::default();
        for (task, lines) in [(0, 1), (2, 10), (0, 1)] {
            tally.enter(task, counts(lines));
        }
        assert_eq!((tally.tasks(), tally.events(), tally.repeated()), (2, 3, 1));
        assert_eq!(tally.total(), counts(12));
        assert_eq!(tally.lost(3), 1);
        assert!(tally.contradictions(3).is_empty());
    }

    #[test]
    fn events_that_cannot_be_are_named() {
        let mut tally = EventTally::default();
        for (task, lines) in [(0, 1), (0, 2), (9, 1)] {
            tally.enter(task, counts(lines));
        }
        assert_eq!(tally.contradictions(3).len(), 2);
        assert_eq!(tally.lost(3), 2);
    }

    #[test]
    fn a_second_acknowledged_ack_is_a_doubled_task() {
        let mut tally = AckTally::default();
        for task in [0, 1, 0] {
            tally.enter(task);
        }
        assert_eq!((tally.tasks(), tally.doubled()), (2, 1));
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), None);
        (1..=200).rev().for_each(|micros| latencies.enter(micros));
        assert_eq!(latencies.percentile(50), Some(100));
        assert_eq!(latencies.percentile(99), Some(198));
        assert_eq!(latencies.percentile(100), Some(200));
    }
}
