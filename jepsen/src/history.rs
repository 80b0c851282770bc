//! Writes the history of a run while it happens: one clock, one file, one writer at a time.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use weir_checker::{Consumer, Event, Lost, Micros, Op, Outcome, Phase, Process, Writer};

/// Bytes gathered before they are written to the file.
const BUFFER_BYTES: usize = 1 << 20;

/// The history under way. Cheap to clone; all clones write to the same file.
#[derive(Clone)]
pub struct History(Arc<Inner>);

struct Inner {
    began: Instant,
    writer: Mutex<Sink>,
    processes: AtomicU32,
    consumers: AtomicU32,
    producers: AtomicU32,
    counts: Counts,
}

/// The file, and the first error that it gave.
struct Sink {
    to: Writer<BufWriter<File>>,
    failed: Option<io::Error>,
}

#[derive(Default)]
struct Counts {
    ok: AtomicU64,
    fail: AtomicU64,
    info: AtomicU64,
}

/// An operation that was begun: when, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    from: Micros,
    process: Process,
}

/// How an operation ended, with the error's code and text.
#[derive(Clone, Debug)]
pub enum End {
    /// It happened.
    Ok,
    /// It surely did not happen.
    Fail(String),
    /// Nobody knows.
    Info(String),
}

impl History {
    /// Begins a history in a file, and with it the run's clock.
    pub fn create(file: &Path) -> io::Result<Self> {
        let to = Writer::new(BufWriter::with_capacity(BUFFER_BYTES, File::create(file)?));
        Ok(Self(Arc::new(Inner {
            began: Instant::now(),
            writer: Mutex::new(Sink { to, failed: None }),
            processes: AtomicU32::new(1),
            consumers: AtomicU32::new(1),
            producers: AtomicU32::new(1),
            counts: Counts::default(),
        })))
    }

    /// The run's clock.
    pub fn now(&self) -> Micros {
        self.0.began.elapsed().as_micros() as Micros
    }

    /// When the clock began.
    pub fn began(&self) -> Instant {
        self.0.began
    }

    /// A process that did nothing yet.
    pub fn process(&self) -> Process {
        Process(self.0.processes.fetch_add(1, Ordering::Relaxed))
    }

    /// A consumer that did nothing yet.
    pub fn consumer(&self) -> Consumer {
        Consumer(self.0.consumers.fetch_add(1, Ordering::Relaxed))
    }

    /// The number of a producer that sent nothing yet.
    pub fn producer(&self) -> u32 {
        self.0.producers.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes the time before an operation is asked for.
    pub fn begin(&self, process: Process) -> Begun {
        Begun { from: self.now(), process }
    }

    /// Writes an operation down that has just ended. After an unknown end the process goes on under a new number.
    pub fn end(&self, begun: Begun, process: &mut Process, node: Option<&str>, op: Op, end: End) {
        let (outcome, error) = match end {
            End::Ok => (Outcome::Ok, None),
            End::Fail(error) => (Outcome::Fail, Some(error)),
            End::Info(error) => (Outcome::Info, Some(error)),
        };
        if outcome == Outcome::Info {
            *process = self.process();
        }
        self.count(outcome);
        let node = node.map(str::to_owned);
        self.write(|now| Event {
            from: begun.from,
            to: (outcome != Outcome::Info).then_some(now),
            process: begun.process,
            node,
            op,
            outcome,
            error,
        });
    }

    /// Writes something down that the harness itself did or saw just now.
    pub fn note(&self, op: Op) {
        self.write(|now| Event {
            from: now,
            to: Some(now),
            process: Process(0),
            node: None,
            op,
            outcome: Outcome::Ok,
            error: None,
        });
    }

    /// Writes something down that the harness saw between `from` and now.
    pub fn saw(&self, from: Micros, node: &str, op: Op) {
        self.write(|now| Event {
            from,
            to: Some(now),
            process: Process(0),
            node: Some(node.to_owned()),
            op,
            outcome: Outcome::Ok,
            error: None,
        });
    }

    /// A part of the run begins.
    pub fn phase(&self, phase: Phase) {
        self.note(Op::Phase(phase));
    }

    /// The harness lost sight of something.
    pub fn lost(&self, lost: Lost) {
        self.note(Op::Lost(lost));
    }

    /// Operations of clients so far: ok, failed, unknown.
    pub fn counts(&self) -> (u64, u64, u64) {
        let Counts { ok, fail, info } = &self.0.counts;
        (ok.load(Ordering::Relaxed), fail.load(Ordering::Relaxed), info.load(Ordering::Relaxed))
    }

    /// Everything is in the file.
    ///
    /// # Errors
    /// The first error that any write gave: the history is not whole then.
    pub fn finish(&self) -> io::Result<()> {
        let mut sink = self.0.writer.lock();
        match sink.failed.take() {
            Some(error) => Err(error),
            None => sink.to.flush(),
        }
    }

    fn count(&self, outcome: Outcome) {
        let Counts { ok, fail, info } = &self.0.counts;
        let counter = match outcome {
            Outcome::Ok => ok,
            Outcome::Fail => fail,
            Outcome::Info => info,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The time is read under the writer's lock, so that the times of ends never fall from line to line.
    fn write(&self, event: impl FnOnce(Micros) -> Event) {
        let mut sink = self.0.writer.lock();
        let event = event(self.now());
        if let Err(error) = sink.to.write(&event) {
            sink.failed.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::io::BufReader;

    use weir_checker::Reader;

    use super::*;

    #[test]
    fn after_an_unknown_end_the_process_has_another_number() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.jsonl");
        let history = History::create(&file).unwrap();
        let mut process = history.process();
        let first = process;
        for end in [End::Ok, End::Fail("a".to_owned()), End::Info("b".to_owned()), End::Ok] {
            let begun = history.begin(process);
            history.end(begun, &mut process, Some("n1"), Op::Phase(Phase::Main), end);
        }
        history.finish().unwrap();
        let events: Vec<_> =
            Reader::new(BufReader::new(File::open(file).unwrap())).collect::<Result<_, _>>().unwrap();
        let by: Vec<_> = events.iter().map(|event| event.process == first).collect();
        assert_eq!(by, [true, true, true, false]);
        assert_eq!(events[2].to, None, "what is unknown never ends");
        assert_eq!(history.counts(), (2, 1, 1));
    }
}
