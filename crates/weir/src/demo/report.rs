//! The short table at the end of a run, and its last line.

use std::time::Duration;

use super::wc::Counts;

/// What a run found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) tasks: u64,
    pub(super) events: u64,
    /// Summed from the stream.
    pub(super) counted: Counts,
    /// What `wc` says.
    pub(super) expected: Counts,
    pub(super) redeliveries: u64,
    pub(super) repeated: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    /// Publish latency in microseconds, at the 50th and the 99th of a hundred.
    pub(super) publish_micros: (u64, u64),
    /// From the kill until every partition took a write.
    pub(super) writable_after: Duration,
    /// Name of the killed node, partitions it led, messages leased on it, and tasks acked when it was killed.
    pub(super) kill: Kill,
    /// What cannot be, in words.
    pub(super) contradictions: Vec<String>,
}

/// The moment of the kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kill {
    pub(super) node: String,
    pub(super) led: u64,
    pub(super) leased: u64,
    pub(super) acked: u64,
}

impl Report {
    /// The table, without the last line.
    pub(super) fn table(&self) -> String {
        let kill = format!(
            "{} with {} partitions and {} leases, at {} % acked",
            self.kill.node,
            self.kill.led,
            self.kill.leased,
            self.kill.acked * 100 / self.tasks.max(1)
        );
        let (p50, p99) = self.publish_micros;
        let writable = self.writable_after;
        let rows = [
            ("tasks", self.tasks.to_string()),
            ("events", self.events.to_string()),
            ("lines", against(self.counted.lines, self.expected.lines)),
            ("words", against(self.counted.words, self.expected.words)),
            ("killed", kill),
            ("redeliveries", self.redeliveries.to_string()),
            ("repeated events", self.repeated.to_string()),
            ("lost", self.lost.to_string()),
            ("doubled", self.doubled.to_string()),
            ("publish latency", format!("p50 {}, p99 {}", millis(p50), millis(p99))),
            (
                "writable again",
                format!("{}.{:03} s after the kill", writable.as_secs(), writable.subsec_millis()),
            ),
        ];
        let lines = rows.iter().map(|(name, value)| format!("  {name:<18}{value}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The last line, and whether the run succeeded.
    pub(super) fn verdict(&self) -> Result<String, String> {
        let mut wrong = self.contradictions.clone();
        if self.lost > 0 {
            wrong.push(format!("{} tasks have no event", self.lost));
        }
        if self.doubled > 0 {
            wrong.push(format!("{} tasks were done more than once after an acknowledged ack", self.doubled));
        }
        if self.repeated > 0 {
            wrong.push(format!("{} events stand in the stream twice", self.repeated));
        }
        if self.counted != self.expected {
            wrong.push(format!(
                "{} lines and {} words were counted, wc says {} and {}",
                self.counted.lines, self.counted.words, self.expected.lines, self.expected.words
            ));
        }
        if wrong.is_empty() {
            Ok(format!("quickstart: ok tasks={} lost=0 doubled=0 words={}", self.tasks, self.counted.words))
        } else {
            Err(wrong.join("; "))
        }
    }
}

fn against(counted: u64, expected: u64) -> String {
    let sign = if counted == expected { "=" } else { "≠" };
    format!("{counted} {sign} {expected} by wc")
}

/// Microseconds as milliseconds with two decimals.
fn millis(micros: u64) -> String {
    format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let counts = Counts { lines: 10, words: 70 };
        Report {
            tasks: 5000,
            events: 5000,
            counted: counts,
            expected: counts,
            redeliveries: 12,
            repeated: 0,
            lost: 0,
            doubled: 0,
            publish_micros: (1_234, 56_789),
            writable_after: Duration::from_millis(1_042),
            kill: Kill { node: "node-2".to_owned(), led: 3, leased: 17, acked: 2100 },
            contradictions: Vec::new(),
        }
    }

    #[test]
    fn a_run_that_adds_up_is_ok() {
        assert_eq!(report().verdict().as_deref(), Ok("quickstart: ok tasks=5000 lost=0 doubled=0 words=70"));
        let table = report().table();
        for row in [
            "  words             70 = 70 by wc",
            "  killed            node-2 with 3 partitions and 17 leases, at 42 % acked",
            "  publish latency   p50 1.23 ms, p99 56.78 ms",
            "  writable again    1.042 s after the kill",
        ] {
            assert!(table.lines().any(|line| line == row), "{table}");
        }
    }

    #[test]
    fn every_deviation_fails_the_run_and_is_named() {
        let lost = Report { lost: 2, ..report() };
        let doubled = Report { doubled: 1, ..report() };
        let repeated = Report { repeated: 3, ..report() };
        let miscounted = Report { counted: Counts { lines: 10, words: 71 }, ..report() };
        let impossible = Report { contradictions: vec!["task 9 was never published".to_owned()], ..report() };
        for (report, word) in [
            (lost, "no event"),
            (doubled, "more than once"),
            (repeated, "twice"),
            (miscounted, "wc says"),
            (impossible, "task 9"),
        ] {
            assert!(report.verdict().is_err_and(|why| why.contains(word)), "{word}");
        }
    }
}
