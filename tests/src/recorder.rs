//! Writes down what clients ask and are told, on one clock, as the events that `weir-checker` judges.

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use weir_checker::{Consumer, Event, Fault, FaultPhase, Micros, Op, Options, Outcome, Process, judge, story};

/// How an operation ended, with the error's code and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It happened.
    Ok,
    /// It surely did not happen.
    Fail(String),
    /// Nobody knows.
    Info(String),
}

/// An operation that was begun: when, and by whom.
#[derive(Debug)]
pub struct Begun {
    from: Micros,
    process: Process,
}

impl Begun {
    /// When.
    pub fn from(&self) -> Micros {
        self.from
    }
}

/// A history under way.
pub struct Recorder {
    began: Instant,
    written: Mutex<Written>,
}

/// What is there so far.
#[derive(Default)]
struct Written {
    /// In the order in which they ended.
    events: Vec<Event>,
    /// Processes with nothing under way.
    idle: Vec<Process>,
    processes: u32,
    /// What clients were told that is no answer to an operation.
    troubles: Vec<String>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { began: Instant::now(), written: Mutex::default() }
    }
}

impl Recorder {
    /// Microseconds since the history began.
    pub fn now(&self) -> Micros {
        self.began.elapsed().as_micros() as Micros
    }

    /// An operation is about to be asked for.
    pub fn begin(&self) -> Begun {
        self.begin_at(self.now())
    }

    /// An operation that was asked for at `from`.
    pub fn begin_at(&self, from: Micros) -> Begun {
        let mut written = self.lock();
        let process = written.idle.pop().unwrap_or_else(|| {
            written.processes += 1;
            // The harness itself is 0.
            Process(written.processes)
        });
        Begun { from, process }
    }

    /// An operation ends now. The process of one whose outcome is unknown is never used again.
    #[expect(clippy::needless_pass_by_value, reason = "an operation ends once")]
    pub fn end(&self, begun: Begun, op: Op, end: End) {
        let (outcome, error) = match end {
            End::Ok => (Outcome::Ok, None),
            End::Fail(error) => (Outcome::Fail, Some(error)),
            End::Info(error) => (Outcome::Info, Some(error)),
        };
        let Begun { from, process } = begun;
        let mut written = self.lock();
        if outcome != Outcome::Info {
            written.idle.push(process);
        }
        // The clock is read under the lock, so that the ends never fall.
        let to = (outcome != Outcome::Info).then(|| self.now());
        written.events.push(Event { from, to, process, node: None, op, outcome, error });
    }

    /// Something may happen at any time from `from` on, of which nobody is told. It is no trouble.
    pub fn may_happen(&self, from: Micros, op: Op) {
        let Begun { from, process } = self.begin_at(from);
        let outcome = Outcome::Info;
        self.lock().events.push(Event { from, to: None, process, node: None, op, outcome, error: None });
    }

    /// Something that is no client's.
    pub fn note(&self, op: Op) {
        let mut written = self.lock();
        let (now, process) = (self.now(), Process(0));
        let event =
            Event { from: now, to: Some(now), process, node: None, op, outcome: Outcome::Ok, error: None };
        written.events.push(event);
    }

    /// From now on there may be faults, which are not written down one by one: nothing is held against a silence.
    pub fn faults_begin(&self) {
        self.note(Op::Fault(Fault {
            kind: "any".to_owned(),
            id: 0,
            phase: FaultPhase::Begin,
            nodes: Vec::new(),
            links: Vec::new(),
            led: 0,
            followed: 0,
            majority: false,
            detail: String::new(),
        }));
    }

    /// Somebody was told of something that is no answer to an operation.
    pub fn trouble(&self, who: &str, error: impl std::fmt::Display) {
        let at = self.now() / 1000;
        self.lock().troubles.push(format!("{at} ms: {who}: {error}"));
    }

    /// Shows every event to `see`.
    pub fn each(&self, see: impl FnMut(&Event)) {
        self.lock().events.iter().for_each(see);
    }

    /// How many events of this kind there are.
    pub fn count(&self, of: impl Fn(&Event) -> bool) -> usize {
        self.lock().events.iter().filter(|event| of(event)).count()
    }

    /// The offset behind what a reader has read of a partition; 0 if nothing.
    pub fn next_offset(&self, reader: Consumer, partition: u32) -> u64 {
        let mut next = 0;
        self.each(|event| {
            if let Op::Poll { consumer, partition: at, records, .. } = &event.op
                && (*consumer, *at) == (reader, partition)
                && let Some((last, _)) = records.last()
            {
                next = next.max(last + 1);
            }
        });
        next
    }

    /// Every answer that a client which repeats should not have got: refusals, unknown outcomes, and what was told
    /// beside the operations.
    pub fn troubles(&self) -> Vec<String> {
        let written = self.lock();
        let answers = written.events.iter().filter_map(|event| {
            let error = event.error.as_ref()?;
            Some(format!("{} ms: {:?}: {error}", event.to.unwrap_or(event.from) / 1000, event.op))
        });
        answers.chain(written.troubles.iter().cloned()).collect()
    }

    /// What the history breaks of the contract, or leaves unproved: none when all is well. Each anomaly comes with the
    /// operations that touch what it is about.
    ///
    /// # Panics
    /// When there are no threads to judge with.
    pub fn broken_promises(&self, options: &Options) -> Vec<String> {
        let written = self.lock();
        let events = &written.events;
        let report = judge(events.iter().cloned().map(Ok), options, 1).expect("the history is in memory");
        let lives = story::of(&report, events);
        let mut broken: Vec<String> = lives.iter().map(ToString::to_string).collect();
        let told = report.anomalies().count() - lives.len();
        if told > 0 {
            broken.push(format!("… and {told} more anomalies"));
        }
        for checked in &report.checks {
            let unknown = checked.findings.unknown.iter();
            broken.extend(unknown.map(|reason| format!("{}: nothing was proved: {reason}", checked.name)));
        }
        broken
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock()
    }
}

#[cfg(test)]
mod tests {
    use weir_checker::{How, MessageId, Phase, Terms, Value};

    use super::*;

    const ID: MessageId = MessageId { partition: 0, id: 7 };

    fn sent(recorder: &Recorder) {
        let value = Value { producer: 1, sequence: 0 };
        let op = Op::Enqueue { topic: "tasks".to_owned(), value, terms: Terms::default(), at: Some(ID) };
        recorder.end(recorder.begin(), op, End::Ok);
    }

    fn settle() -> Op {
        let (topic, consumer) = ("tasks".to_owned(), Consumer(1));
        Op::Settle { topic, consumer, message: ID, lease: 1, how: How::Ack }
    }

    #[test]
    fn after_an_unknown_end_the_process_has_another_number() {
        let recorder = Recorder::default();
        for end in [End::Ok, End::Fail("a".to_owned()), End::Info("b".to_owned()), End::Ok] {
            recorder.end(recorder.begin(), settle(), end);
        }
        let mut processes = Vec::new();
        recorder.each(|event| processes.push((event.process.0, event.to.is_some())));
        assert_eq!(processes, [(1, true), (1, true), (1, false), (2, true)]);
        assert_eq!(recorder.troubles().len(), 2, "two were not answered with yes");
    }

    #[test]
    fn a_broken_promise_is_told_with_its_operations() {
        let recorder = Recorder::default();
        sent(&recorder);
        recorder.note(Op::Phase(Phase::End));
        let broken = recorder.broken_promises(&Options::default());
        assert_eq!(broken.len(), 1, "{broken:#?}");
        assert!(broken[0].starts_with("Q1 lost-message"), "{}", broken[0]);
        assert!(broken[0].contains("* line 0: "), "{}", broken[0]);
        assert!(broken[0].contains("ok: enqueue 1-0 to tasks → 0:7"), "{}", broken[0]);
    }

    #[test]
    fn what_is_left_unproved_is_broken_too() {
        let recorder = Recorder::default();
        sent(&recorder);
        let broken = recorder.broken_promises(&Options::default());
        assert!(broken.iter().any(|reason| reason.contains("nothing was proved")), "{broken:#?}");
    }
}
