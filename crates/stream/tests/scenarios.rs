//! Transcripts: `tests/scenarios/*.txt` say what goes in and, below `----`, what comes out. Write the first part by
//! hand and let `UPDATE_SCENARIOS=1 cargo test -p weir-stream` write the second; then read it.
//!
//! `at` sets index, term and clocks of what follows, each kept until set again; `restore` rebuilds the machine from
//! its rows. The other words are the commands and the queries.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use weir_stream::{
    Append, Command, CommitAndAppend, CommitOffset, Effect, GroupEpoch, Movement, Rewrite, RewrittenBatch,
    Stream, Transfer,
};
use weir_types::{
    At, Compaction, GroupId, LeaseClock, LogIndex, Offset, Output, OutputBatch, ProducerEpoch, ProducerId,
    ProducerSequence, Recut, Retention, Row, StreamPolicy, Term, TransferSequence, TransferSource, WallClock,
};

/// One scenario's machine, and the store that its changes are written to.
struct Scenario {
    stream: Stream,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    at: At,
}

/// `name=value` words of a line.
struct Words<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Words<'a> {
    fn parse(words: impl Iterator<Item = &'a str>) -> Self {
        Self(words.map(|word| word.split_once('=').expect("words are name=value")).collect())
    }

    fn text(&self, name: &str) -> String {
        (*self.0.get(name).unwrap_or(&"")).to_owned()
    }

    fn list(&self, name: &str) -> BTreeSet<String> {
        self.text(name).split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).map(|value| value.parse().expect("values are numbers"))
    }

    fn or(&self, name: &str, default: u64) -> u64 {
        self.number(name).unwrap_or(default)
    }

    fn producer(&self) -> Option<ProducerSequence> {
        let numbers: Vec<u32> =
            self.0.get("producer")?.split('/').map(|part| part.parse().unwrap()).collect();
        Some(ProducerSequence {
            id: ProducerId(u64::from(numbers[0])),
            epoch: ProducerEpoch(numbers[1]),
            base_sequence: numbers[2],
        })
    }
}

impl Scenario {
    fn new() -> Self {
        let stream = Stream::new(StreamPolicy { retention: Retention::default(), ..StreamPolicy::default() });
        Self { stream, store: BTreeMap::new(), at: At { term: Term(1), ..At::default() } }
    }

    fn run(&mut self, line: &str, text: &mut String) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words = Words::parse(rest.split_whitespace());
        match verb {
            "at" => self.set_at(&words),
            "restore" => self.restore(),
            "locate" | "pass" | "seek" | "committed" | "lag" | "deadlines" | "retained" | "outgoing"
            | "sealed" => {
                writeln!(text, "{}", self.query(verb, &words)).unwrap();
            }
            _ => self.apply(command(verb, &words), text),
        }
    }

    fn set_at(&mut self, words: &Words) {
        self.at = At {
            term: Term(words.or("term", self.at.term.0)),
            index: LogIndex(words.or("index", self.at.index.0)),
            lease_clock: LeaseClock(words.or("lease", self.at.lease_clock.0)),
            wall_clock: WallClock(words.or("wall", self.at.wall_clock.0)),
        };
    }

    fn restore(&mut self) {
        let rows = self.store.iter().map(|(key, value)| Row { key: key.clone(), value: value.clone() });
        let restored = Stream::restore(rows).unwrap();
        assert_eq!(restored, self.stream);
        self.stream = restored;
    }

    fn query(&self, verb: &str, words: &Words) -> String {
        let group = words.text("group");
        match verb {
            "locate" => match self.stream.locate(Offset(words.or("offset", 0)), words.or("bytes", 1 << 20)) {
                Ok(batches) => batches.iter().fold("batches:".to_owned(), |text, batch| {
                    let end = batch.next_offset;
                    format!(
                        "{text} {}..{end}@entry {}+{}",
                        batch.base_offset, batch.pointer.index, batch.pointer.position
                    )
                }),
                Err(out_of_range) => out_of_range.to_string(),
            },
            "pass" => format!("{:?}", self.stream.pass_ahead(self.at.wall_clock, words.or("dirty", 1))),
            "seek" => format!("offset {}", self.stream.offset_for_time(WallClock(words.or("time", 0)))),
            "committed" => {
                format!("{:?} epoch {}", self.stream.committed(&group), self.stream.group_epoch(&group))
            }
            "retained" => format!("{:?}", self.stream.retained_from()),
            "outgoing" => {
                let to = GroupId(words.or("to", 0) as u32);
                let batches = self.stream.outbox().batches(to, TransferSequence(words.or("after", 0)));
                batches.fold("batches:".to_owned(), |text, batch| {
                    let pointer = batch.pointer;
                    format!("{text} {}@entry {}+{}", batch.sequence, pointer.index, pointer.position)
                })
            }
            "sealed" => format!("{:?}", self.stream.sealed_at()),
            "lag" => format!("{:?}", self.stream.lag(&group)),
            _ => format!("{:?}", self.stream.next_deadlines()),
        }
    }

    fn apply(&mut self, command: Command, text: &mut String) {
        let mut out = Output::<Effect>::default();
        match self.stream.apply(self.at, command, &mut out).unwrap() {
            Ok(reply) => writeln!(text, "{reply:?}").unwrap(),
            Err(rejection) => writeln!(text, "rejected: {rejection}").unwrap(),
        }
        self.stream.check_invariants();
        for change in out.changes {
            let key = key_text(&change.key);
            if let Some(value) = change.value {
                writeln!(text, "  put {key} {value:?}").unwrap();
                self.store.insert(change.key, value);
            } else {
                writeln!(text, "  delete {key}").unwrap();
                self.store.remove(&change.key);
            }
        }
        for effect in out.effects {
            writeln!(text, "  {effect:?}").unwrap();
        }
    }
}

fn key_text(key: &[u8]) -> String {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
    match key[0] {
        b'b' => format!("run {}", number(&key[1..])),
        b'c' => format!("compacted {}", number(&key[1..])),
        b'k' => "compaction".to_owned(),
        b'd' => format!("destination {}", number(&key[1..])),
        b'e' => format!("fence {}", number(&key[1..])),
        b'o' => format!("outbox {} {}", number(&key[1..5]), number(&key[5..])),
        b'f' => "epoch floor".to_owned(),
        b'g' => format!("group {}", str::from_utf8(&key[1..]).unwrap()),
        b'p' => format!("producer {} slot {}", number(&key[1..9]), key[9]),
        b'i' => format!("source {}/{}", number(&key[1..5]), number(&key[5..])),
        b's' => "start".to_owned(),
        b'x' => "seal".to_owned(),
        _ => "policy".to_owned(),
    }
}

fn policy(words: &Words<'_>) -> StreamPolicy {
    StreamPolicy {
        retention: Retention {
            age_ms: words.number("age"),
            bytes: words.number("bytes"),
            groups: words.list("groups"),
        },
        compaction: Compaction {
            enabled: words.or("compact", 0) == 1,
            after_ms: words.or("after", 0),
            tombstone_ms: words.or("tombstones", 86_400_000),
        },
    }
}

/// Batches of 100 bytes for the partitions named.
fn outputs(to: &str) -> Vec<OutputBatch> {
    let to = to.split(',').filter(|to| !to.is_empty()).map(|to| GroupId(to.parse().unwrap()));
    (0..)
        .zip(to)
        .map(|(place, destination)| OutputBatch { destination, position: place * 100, length: 100 })
        .collect()
}

fn rewrite(words: &Words<'_>) -> Rewrite {
    let offset = |name: &str| Offset(words.or(name, 0));
    let batch = |(place, text): (u32, String)| {
        let (first, last) = text.split_once('-').expect("batches are written first-last");
        RewrittenBatch {
            base_offset: Offset(first.parse().unwrap()),
            last_offset: Offset(last.parse().unwrap()),
            position: place * 10,
            length: 10,
            max_timestamp_ms: 0,
        }
    };
    Rewrite {
        pass: words.or("pass", 0),
        start: offset("start"),
        from: offset("from"),
        to: offset("to"),
        horizon: offset("horizon"),
        tombstones_below: offset("tombstones_below"),
        tombstones: words.or("tombstones", 0) as u32,
        batches: (0..).zip(words.list("batches")).map(batch).collect(),
    }
}

fn command(verb: &str, words: &Words) -> Command {
    let (group, epoch) = (words.text("group"), GroupEpoch(words.or("epoch", 0)));
    let batch = Append {
        position: words.or("position", 0) as u32,
        length: words.or("length", 100) as u32,
        count: words.or("count", 1) as u32,
        producer: words.producer(),
        max_timestamp_ms: 0,
    };
    match verb {
        "append" => Command::Append(batch),
        "transfer" => Command::AcceptTransfer(Transfer {
            source: TransferSource::outbox(GroupId(words.or("from", 0) as u32)),
            after: TransferSequence(words.or("after", 0)),
            sequence: TransferSequence(words.or("sequence", 1)),
            batch,
        }),
        "fence" => Command::Fence { group, epoch },
        "commit" | "reset" => Command::CommitOffset(CommitOffset {
            group,
            epoch,
            offset: Offset(words.or("offset", 0)),
            metadata: words.text("metadata"),
            movement: if verb == "reset" { Movement::Reset } else { Movement::Forward },
        }),
        "step" => Command::CommitAndAppend(CommitAndAppend {
            group,
            epoch,
            from: words.number("from").map(Offset),
            offset: Offset(words.or("offset", 0)),
            metadata: words.text("metadata"),
            outputs: outputs(&words.text("to")),
        }),
        "confirm" => Command::ConfirmTransfer {
            destination: GroupId(words.or("to", 0) as u32),
            through: TransferSequence(words.or("through", 0)),
        },
        "seal" => Command::Seal,
        "recut" => Command::Recut(Recut {
            destination: GroupId(words.or("of", 0) as u32),
            after: TransferSequence(words.or("after", 0)),
            through: TransferSequence(words.or("through", 0)),
            outputs: outputs(&words.text("to")),
        }),
        "fence-producer" => Command::FenceProducer {
            id: ProducerId(words.or("id", 0)),
            epoch: ProducerEpoch(words.or("epoch", 0) as u32),
        },
        "delete-group" => Command::DeleteGroup { group },
        "trim" => Command::Trim { before: Offset(words.or("before", 0)) },
        "policy" => Command::SetPolicy { policy: policy(words) },
        "rewrite" => Command::Rewrite(rewrite(words)),
        "tick" => Command::Tick,
        other => panic!("`{other}` is no command"),
    }
}

/// The transcript with what really comes out.
fn replay(transcript: &str) -> String {
    let mut scenario = Scenario::new();
    let mut text = String::new();
    for block in transcript.trim_end().split("\n\n") {
        if !text.is_empty() {
            text.push('\n');
        }
        let lines = block.lines().take_while(|line| *line != "----");
        let mut outcome = String::new();
        for line in lines {
            writeln!(text, "{line}").unwrap();
            if !line.starts_with('#') {
                scenario.run(line, &mut outcome);
            }
        }
        if !outcome.is_empty() {
            write!(text, "----\n{outcome}").unwrap();
        }
    }
    text
}

#[test]
fn every_transcript_replays() {
    let folder = Path::new("tests/scenarios");
    let mut replayed = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let written = std::fs::read_to_string(&path).unwrap();
        let actual = replay(&written);
        if std::env::var_os("UPDATE_SCENARIOS").is_some() {
            std::fs::write(&path, &actual).unwrap();
        } else {
            assert_eq!(actual, written, "{}", path.display());
        }
        replayed += 1;
    }
    assert!(replayed >= 5);
}
