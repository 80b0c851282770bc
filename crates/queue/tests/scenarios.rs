//! Transcripts of the machine: `tests/scenarios/*.txt`, each a story told in entries.
//!
//! ```text
//! # A comment.
//! wait 5s                              both clocks, or one: `wait lease 5s`, `wait wall 5s`
//! enqueue count=3                      the commands of one entry, one a line
//! lease request=1 max=2
//! ----
//! enqueued 0..3                        one answer per command
//! leased 0#1 1#2                       message#lease, `try 2` from the second attempt on
//!   put span/2, put message/0 …        rows that changed (the header is left out)
//!   hint: 1 ready                      effects
//! ```
//!
//! `peek`, `stats`, `next`, `kept`, `bodies`, `outbox`, `lineage` and `explain message=3` or `key=1` are questions, not commands, and stand alone. A block that says `policy …` begins with an empty queue.
//! `WEIR_UPDATE=1 cargo test -p weir-queue --test scenarios` writes the answers anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::path::Path;

use weir_queue::{
    AckAndAppend, Action, Attributes, Bodies, Command, DedupId, DedupRecord, Effect, Enqueue, Granted,
    Inherit, InheritedId, Lease, MessageRun, MessageState, MessageView, Move, ParkKind, ProducerBatch, Queue,
    Relocate, RelocatedBatch, Replay, Reply, Run, Select, SessionEnding, Settle, SettleItem, Settled,
    TenantRun, Transfer, Waiting, describe,
};
use weir_types::{
    At, Backoff, GroupId, KeyHash, KeyRange, LeaseClock, LeaseId, LogIndex, MessageId, Output, OutputBatch,
    ParkPolicy, ProducerEpoch, ProducerId, QueuePolicy, Recut, RequestId, Row, SessionId, TenantHash, Term,
    TransferSequence, TransferSource, WallClock,
};

/// The wall clock of every story starts here, so that its times are easy to read.
const START: WallClock = WallClock(1_000_000);

#[test]
fn every_story_goes_as_written() {
    let folder = Path::new("tests/scenarios");
    let mut stories: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    stories.sort();
    assert!(!stories.is_empty(), "there are stories");
    let update = std::env::var_os("WEIR_UPDATE").is_some();
    for path in stories {
        let written = std::fs::read_to_string(&path).unwrap();
        let told = Story::tell(&written);
        if update {
            std::fs::write(&path, &told).unwrap();
        } else {
            assert_eq!(told, written, "{} goes differently (WEIR_UPDATE=1 rewrites it)", path.display());
        }
    }
}

#[test]
fn every_rule_of_the_composition_page_has_its_story() {
    let page = std::fs::read_to_string("../../docs/COMPOSITION.md").unwrap();
    let rules: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.contains(" × "))
        .map(|line| line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert!(rules.len() > 30, "the page has its table");
    for rule in rules {
        let [pair, _, story] = rule[..] else { panic!("{rule:?} has other columns") };
        let (folder, name) =
            story.trim_matches('`').split_once('/').unwrap_or_else(|| ("queue", story.trim_matches('`')));
        let path = format!("../{folder}/tests/scenarios/{name}.txt");
        let told = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let is_named =
            told.lines().any(|line| line.strip_prefix("# ").is_some_and(|line| line.starts_with(pair)));
        assert!(is_named || !story.contains("together"), "{path} does not tell of {pair}");
    }
}

struct Story {
    queue: Queue,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    at: At,
}

impl Story {
    fn tell(written: &str) -> String {
        let at = At { term: Term(1), index: LogIndex(0), lease_clock: LeaseClock(0), wall_clock: START };
        let queue = Queue::new(QueuePolicy::default(), LeaseId(0));
        let mut story = Self { queue, rows: BTreeMap::new(), at };
        let blocks = written.split("\n\n").map(|block| story.block(block.trim_matches('\n')));
        let mut told = blocks.filter(|block| !block.is_empty()).collect::<Vec<_>>().join("\n\n");
        told.push('\n');
        told
    }

    fn block(&mut self, block: &str) -> String {
        let lines: Vec<&str> = block.lines().take_while(|line| *line != "----").collect();
        let mut told = lines.join("\n");
        let spoken: Vec<&str> = lines.into_iter().filter(|line| !line.starts_with('#')).collect();
        if spoken.is_empty() {
            return told;
        }
        let answer = self.answer(&spoken);
        write!(told, "\n----\n{}", answer.trim_end()).unwrap();
        told
    }

    fn answer(&mut self, lines: &[&str]) -> String {
        let mut commands = Vec::new();
        for line in lines {
            let mut words = Words::of(line);
            match words.verb {
                "policy" => {
                    self.queue = Queue::new(policy(&mut words), LeaseId(0));
                    self.rows.clear();
                    return "ok".to_owned();
                }
                "peek" => return self.peek(),
                "stats" => return self.stats(),
                "kept" => return self.kept(),
                "outbox" => return self.outbox(),
                "bodies" => return self.bodies(),
                "next" => return self.next(),
                "lineage" => return self.lineage(),
                "explain" => return self.explain(&mut words),
                "wait" => self.wait(line),
                _ => commands.push(self.command(&mut words)),
            }
            words.end();
        }
        self.entry(commands)
    }

    fn wait(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ms = milliseconds(words[words.len() - 1]);
        if words[1] != "wall" {
            self.at.lease_clock = self.at.lease_clock + ms;
        }
        if words[1] != "lease" {
            self.at.wall_clock = self.at.wall_clock + ms;
        }
    }

    fn entry(&mut self, commands: Vec<Command>) -> String {
        self.at.index = self.at.index.next();
        let mut out = Output::default();
        let answers = self.queue.apply_entry(self.at, commands, &mut out).unwrap();
        self.queue.check_invariants();
        let mut told = String::new();
        for answer in answers {
            match answer {
                Ok(reply) => writeln!(told, "{}", reply_in_words(&reply)).unwrap(),
                Err(rejection) => {
                    writeln!(told, "{}: {rejection} [{}]", rejection.kind(), rejection.code()).unwrap();
                }
            }
        }
        let mut names = Vec::new();
        for change in out.changes {
            let words = describe(&change).unwrap();
            names.push(words.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
            match change.value {
                Some(value) => self.rows.insert(change.key, value),
                None => self.rows.remove(&change.key),
            };
        }
        names.retain(|name| name != "put header" && name != "put policy");
        if !names.is_empty() {
            writeln!(told, "  {}", names.join(", ")).unwrap();
        }
        for Effect::Ready { count } in out.effects {
            writeln!(told, "  hint: {count} ready").unwrap();
        }
        let rows = self.rows.iter().map(|(key, value)| Row { key: key.clone(), value: value.clone() });
        assert_eq!(Queue::restore(rows).unwrap(), self.queue, "restored from rows");
        told
    }

    fn command(&self, words: &mut Words) -> Command {
        let session = SessionId(words.number("session").unwrap_or(0));
        let max = words.number("max").map_or(u32::MAX, |max| max as u32);
        match words.verb {
            "enqueue" => {
                let tenants = tenants(words);
                Command::enqueue(self.enqueue(words, tenants.len()), tenants)
            }
            "lease" => Command::Lease(Lease {
                request: RequestId(words.number("request").unwrap()),
                session: (session.0 > 0).then_some(session),
                max_messages: max,
                max_bytes: words.number("bytes").unwrap_or(u64::MAX),
                lease_ms: words.time("for"),
            }),
            "open" => Command::OpenSession { session },
            "keep" => Command::KeepSession { session },
            "close" => Command::CloseSession { session, ending: SessionEnding::Clean },
            "lose" => Command::CloseSession { session, ending: SessionEnding::Lost },
            "redrive" => Command::Redrive { select: select(words), max },
            "discard" => Command::Discard { select: select(words), max },
            "cancel" => Command::CancelScheduled { message: MessageId(words.number("message").unwrap()) },
            "purge" => Command::Purge { before: words.number("before").map(MessageId), max },
            "set-policy" => Command::SetPolicy { policy: policy(words) },
            "tick" => Command::Tick,
            "raise-leases" => Command::RaiseLeases,
            "ack-and-append" => Command::AckAndAppend(ack_and_append(words)),
            "move-ready" => Command::Move(move_on(Waiting::Ready, words)),
            "move-parked" => Command::Move(move_on(Waiting::Parked, words)),
            "replay" => {
                let tenants = tenants(words);
                Command::replay(self.replay(words, max.min(100) as usize), tenants)
            }
            "relocate" => Command::Relocate(relocate(words)),
            "confirm" => Command::ConfirmTransfer {
                destination: GroupId(words.number("to").unwrap() as u32),
                through: TransferSequence(words.number("through").unwrap()),
            },
            "transfer" => {
                let tenants = tenants(words);
                let transfer = Transfer {
                    source: source(words.value("from").unwrap()),
                    after: TransferSequence(words.number("after").unwrap()),
                    sequence: TransferSequence(words.number("sequence").unwrap()),
                    batch: self.enqueue(words, tenants.len()),
                };
                Command::accept_transfer(transfer, tenants)
            }
            _ => lineage(words).unwrap_or_else(|| Command::Settle(settle(words))),
        }
    }

    fn enqueue(&self, words: &mut Words, tenants: usize) -> Enqueue {
        let attributes = Attributes {
            key: words.number("key").map(|key| KeyHash(key as u32)),
            priority: words.number("priority").unwrap_or(0) as u8,
            deliver_at: words.time("delay").map(|ms| self.at.wall_clock + ms),
            expires_at: words.time("ttl").map(|ms| self.at.wall_clock + ms),
        };
        let keys: Option<Vec<Run>> = words.value("keys").map(|keys| {
            let keys = keys.split(',').map(|key| Some(KeyHash(key.parse().unwrap())));
            keys.map(|key| Run { count: 1, attributes: Attributes { key, ..attributes } }).collect()
        });
        let ids: Vec<u128> = words
            .value("ids")
            .map_or_else(Vec::new, |ids| ids.split(',').map(|id| id.parse().unwrap()).collect());
        let many = keys.as_ref().map_or_else(|| ids.len().max(tenants).max(1), Vec::len) as u64;
        let count = words.number("count").unwrap_or(many) as u32;
        Enqueue {
            position: 0,
            length: 61 + 10 * count,
            count,
            bytes: words.number("bytes").unwrap_or_else(|| 10 * u64::from(count)),
            producer: words.value("producer").map(|text| {
                let numbers: Vec<u64> = text.split('/').map(|number| number.parse().unwrap()).collect();
                let (id, epoch) = (ProducerId(numbers[0]), ProducerEpoch(numbers[1] as u32));
                ProducerBatch { id, epoch, sequence: numbers[2] as u32 }
            }),
            runs: keys.unwrap_or_else(|| vec![Run { count, attributes }]),
            dedup: (0..).zip(ids).map(|(record, id)| DedupRecord { record, id: DedupId(id) }).collect(),
        }
    }

    /// `replay request=1 from=2s to=5s max=3`: what a leader would propose; `stale=0` begins at that message instead.
    fn replay(&self, words: &mut Words, max: usize) -> Replay {
        let request = RequestId(words.number("request").unwrap());
        let from = words.time("from").unwrap_or(0);
        let to = words.time("to");
        let begun = self.queue.replayed(request).map(|known| (known.next, known.end));
        let end = to.map_or_else(|| self.queue.stats().next_message, |ms| self.queue.kept_from(START + ms));
        let (from, end) = begun.unwrap_or_else(|| (self.queue.kept_from(START + from), end));
        let from = words.number("stale").map_or(from, MessageId);
        let kept: Vec<_> = self.queue.kept(from, max).into_iter().filter(|kept| kept.message < end).collect();
        let next = if kept.len() < max { end } else { MessageId(kept[max - 1].message.0 + 1) };
        let attributes =
            Attributes { key: words.number("key").map(|key| KeyHash(key as u32)), ..Attributes::default() };
        let count = kept.len() as u32;
        let batch = Enqueue {
            position: 0,
            length: 61 + 10 * count,
            count,
            bytes: 10 * u64::from(count),
            producer: None,
            runs: vec![Run { count, attributes }],
            dedup: Vec::new(),
        };
        Replay { request, from, next, end, batch: (count > 0).then_some(batch) }
    }

    fn kept(&self) -> String {
        let stats = self.queue.stats();
        let kept = self.queue.kept(MessageId(0), 100);
        let ids: Vec<String> = kept.iter().map(|kept| format!("{}r{}", kept.message, kept.record)).collect();
        format!("{} messages, {} bytes: {}", stats.kept, stats.kept_bytes, ids.join(" "))
    }

    /// Messages, the entry that holds their bodies, where in it their batch begins, and the first one's record.
    fn bodies(&self) -> String {
        let Some((first, bytes)) = self.queue.bodies() else { return "none".to_owned() };
        let (bodies, _) = self.queue.bodies_before(LogIndex(u64::MAX), MessageId(0), 100);
        let places: Vec<String> = bodies
            .iter()
            .map(|Bodies { first, count, pointer, record }| {
                let last = first.0 + u64::from(*count) - 1;
                format!("{first}-{last} in {}+{}r{record}", pointer.index, pointer.position)
            })
            .collect();
        format!("{bytes} bytes from entry {first} on: {}", places.join(", "))
    }

    fn peek(&self) -> String {
        let lines = self.queue.peek(MessageId(0), 100).into_iter().map(|view| view_in_words(&view));
        let told = lines.collect::<Vec<_>>().join("\n");
        if told.is_empty() { "nothing".to_owned() } else { told }
    }

    fn next(&self) -> String {
        let ids = self.queue.next_ready(100).into_iter().map(|view| view.message.to_string());
        "next: ".to_owned() + &ids.collect::<Vec<_>>().join(" ")
    }

    fn explain(&self, words: &mut Words) -> String {
        let explanation = match (words.number("message"), words.number("key")) {
            (Some(message), _) => Some(self.queue.explain(MessageId(message))),
            (None, key) => self.queue.explain_key(key.map(|key| KeyHash(key as u32))),
        };
        let Some(explanation) = explanation else { return "keys have no order".to_owned() };
        let mut told = format!("{:?}", explanation.hold);
        let leased = explanation.key_leased.iter().map(|view| ("leased of its key", view));
        let next = explanation.key_next.iter().map(|view| ("next of its key", view));
        for (role, view) in explanation.message.iter().map(|view| ("this", view)).chain(leased).chain(next) {
            write!(told, "\n{role}: {}", view_in_words(view)).unwrap();
        }
        if let Some(message) = explanation.key_blocked_by {
            write!(told, "\nits key is blocked by {message}").unwrap();
        }
        if let Some(tenants) = explanation.tenants_before {
            write!(told, "\n{tenants} other tenants before its own").unwrap();
        }
        told
    }

    fn outbox(&self) -> String {
        let outbox = self.queue.outbox();
        let (batches, bytes) = (outbox.len(), outbox.bytes());
        let mut told = format!("{batches} batches, {bytes} bytes");
        for (destination, after) in self.queue.outbox().waiting() {
            write!(told, "\nfor {destination} behind {after}:").unwrap();
            for batch in self.queue.outbox().batches(destination, after) {
                write!(told, " {}@{}+{}", batch.sequence, batch.pointer.index, batch.pointer.position)
                    .unwrap();
            }
        }
        told
    }

    /// What its children would inherit now, and what they are to be told.
    fn lineage(&self) -> String {
        let queue = &self.queue;
        let sealed =
            queue.sealed_at().map_or_else(|| "open".to_owned(), |at| format!("sealed {}ms", at - START));
        let mut told = format!("{sealed}{}", if queue.is_retirable() { ", retirable" } else { "" });
        for step in queue.inheritance(GroupId(1), KeyRange::ALL) {
            write!(told, "\nchildren: leases above {}, keys {}", step.lease_base, keys_in_words(&step.keys))
                .unwrap();
            for known in &step.dedup {
                write!(told, ", id {} is {} for {}ms", known.id.0, known.message, known.left_ms).unwrap();
            }
            for (source, through) in &step.sources {
                write!(told, ", {source} is at {through}").unwrap();
            }
        }
        write!(told, "\ndrained: {}", keys_in_words(&queue.drained())).unwrap();
        told
    }

    fn stats(&self) -> String {
        let stats = self.queue.stats();
        let deadlines = self.queue.next_deadlines();
        let retained = self.queue.retained_from();
        format!(
            "ready {} scheduled {} delayed {} leased {} parked {}\nmessages {} bytes {}\n\
             retained from {retained:?}\nnext tick: lease {:?} wall {:?}",
            stats.ready,
            stats.scheduled,
            stats.delayed,
            stats.leased,
            stats.parked,
            stats.messages,
            stats.bytes,
            deadlines.lease.map(|time| time.0),
            deadlines.wall.map(|time| time - START),
        )
    }
}

/// One line of a story: a verb, then `key=value` or flags, each of which has to be used.
struct Words<'a> {
    verb: &'a str,
    rest: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap();
        let rest = if verb == "wait" { Vec::new() } else { words.collect() };
        Self { verb, rest }
    }

    fn value(&mut self, key: &str) -> Option<&'a str> {
        let is_key = |word: &&str| word.split_once('=').is_some_and(|(name, _)| name == key);
        let found = self.rest.iter().position(is_key)?;
        self.rest.remove(found).split_once('=').map(|(_, value)| value)
    }

    fn flag(&mut self, name: &str) -> bool {
        let found = self.rest.iter().position(|word| *word == name);
        found.map(|found| self.rest.remove(found)).is_some()
    }

    fn number(&mut self, key: &str) -> Option<u64> {
        self.value(key).map(|value| value.parse().unwrap())
    }

    fn time(&mut self, key: &str) -> Option<u64> {
        self.value(key).map(milliseconds)
    }

    fn end(&self) {
        assert!(self.rest.is_empty(), "`{}` does not know {:?}", self.verb, self.rest);
    }
}

fn milliseconds(text: &str) -> u64 {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap());
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        other => panic!("unit `{other}`"),
    };
    digits.parse::<u64>().unwrap() * factor
}

fn policy(words: &mut Words) -> QueuePolicy {
    let mut policy = QueuePolicy { fifo: words.flag("fifo"), ..QueuePolicy::default() };
    if words.flag("park-key") {
        policy.park = ParkPolicy::ParkKey;
    }
    if words.flag("block-key") {
        policy.park = ParkPolicy::BlockKey;
    }
    policy.max_inflight_per_key = words.number("inflight").map_or(1, |max| max as u32);
    policy.max_inflight = words.number("in-all").map(|max| max as u32);
    policy.max_inflight_per_session = words.number("per-session").map(|max| max as u32);
    policy.fair_by = words.flag("fair").then(|| "tenant".to_owned());
    policy.keep_ms = words.time("keep");
    policy.keep_bytes_max = words.number("keep-bytes").unwrap_or(policy.keep_bytes_max);
    policy.attempts_max = words.number("attempts").map_or(policy.attempts_max, |max| max as u32);
    policy.messages_max = words.number("messages").unwrap_or(policy.messages_max);
    policy.bytes_max = words.number("bytes").unwrap_or(policy.bytes_max);
    policy.ttl_ms = words.time("ttl");
    if let Some(base_ms) = words.time("backoff") {
        policy.backoff = Backoff { base_ms, max_ms: 60_000 };
    }
    policy
}

/// `tenants=1,2,0`: whose the records are; 0 for nobody's.
fn tenants(words: &mut Words) -> Vec<TenantRun> {
    let Some(numbers) = words.value("tenants") else { return Vec::new() };
    let numbers = numbers.split(',').map(|number| NonZeroU64::new(number.parse().unwrap()));
    numbers.map(|number| TenantRun { count: 1, tenant: number.map(TenantHash) }).collect()
}

fn select(words: &mut Words) -> Select {
    match (words.number("message"), words.value("reason")) {
        (Some(message), _) => Select::One(MessageId(message)),
        (None, Some("rejected")) => Select::Reason(ParkKind::Rejected),
        (None, Some("attempts")) => Select::Reason(ParkKind::AttemptsUsedUp),
        (None, Some(other)) => panic!("reason `{other}`"),
        (None, None) => Select::All,
    }
}

/// `ack 3#7 4#8 request=1`, and so on for the other actions.
fn settle(words: &mut Words) -> Settle {
    let request = words.number("request").map(RequestId);
    let action = match words.verb {
        "ack" => Action::Ack,
        "nack" => Action::Nack { delay_ms: words.time("delay") },
        "extend" => Action::Extend { lease_ms: words.time("for").unwrap() },
        "release" => Action::Release,
        "reject" => Action::Reject { reason: words.value("reason").unwrap_or("").to_owned() },
        other => panic!("verb `{other}`"),
    };
    let items = words.rest.drain(..).map(|word| {
        let (message, lease) = word.split_once('#').unwrap();
        let (message, lease) = (MessageId(message.parse().unwrap()), LeaseId(lease.parse().unwrap()));
        SettleItem { message, lease, action: action.clone() }
    });
    Settle { request, items: items.collect() }
}

/// `move-ready 3 4 to=20`: messages 3 and 4 leave as one batch for partition 20.
fn move_on(waiting: Waiting, words: &mut Words) -> Move {
    let outputs = words.number("to").map(|to| OutputBatch {
        destination: GroupId(to as u32),
        position: 0,
        length: 100,
    });
    let messages = words.rest.drain(..).map(|word| MessageId(word.parse().unwrap())).collect();
    Move { waiting, messages, outputs: outputs.into_iter().collect() }
}

/// `relocate 3-5 9-9`: one batch with the bodies of these messages.
fn relocate(words: &mut Words) -> Relocate {
    let runs = words.rest.drain(..).map(|word| {
        let (first, last) = word.split_once('-').unwrap();
        let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
        MessageRun { first: MessageId(first), count: (last + 1 - first) as u32 }
    });
    Relocate { batches: vec![RelocatedBatch { position: 0, length: 100, runs: runs.collect() }] }
}

/// `ack-and-append 3#7 4#8 request=1 to=20,21`: one batch of 100 bytes for each partition named.
fn ack_and_append(words: &mut Words) -> AckAndAppend {
    let request = words.number("request").map(RequestId);
    let to: Vec<&str> = words.value("to").map_or_else(Vec::new, |to| to.split(',').collect());
    let length = words.number("bytes").unwrap_or(100) as u32;
    let outputs = (0..).zip(to).map(|(place, to)| OutputBatch {
        destination: GroupId(to.parse().unwrap()),
        position: place * length,
        length,
    });
    let messages = words.rest.drain(..).map(|word| {
        let (message, lease) = word.split_once('#').unwrap();
        (MessageId(message.parse().unwrap()), LeaseId(lease.parse().unwrap()))
    });
    AckAndAppend { request, messages: messages.collect(), outputs: outputs.collect() }
}

/// `301`, or `301/2` for another channel than the outbox.
fn source(word: &str) -> TransferSource {
    let (group, channel) = word.split_once('/').unwrap_or((word, "0"));
    TransferSource { group: GroupId(group.parse().unwrap()), channel: channel.parse().unwrap() }
}

/// What belongs to splits: `inherit parent=5 base=100 keys=1,2 id=7 left=90s feed=301/2 through=41` and the like.
fn lineage(words: &mut Words) -> Option<Command> {
    let group = |word: Option<u64>| GroupId(word.unwrap() as u32);
    Some(match words.verb {
        "seal" => Command::Seal,
        "inherit" => Command::Inherit(inherit(words)),
        "drained" => Command::Drained { parent: group(words.number("parent")), keys: keys(words) },
        "confirm-drained" => Command::ConfirmDrained { keys: keys(words) },
        "recut" => {
            let to = words.value("to").unwrap().split(',').zip(0..);
            let output = |(to, place): (&str, u32)| OutputBatch {
                destination: GroupId(to.parse().unwrap()),
                position: place * 100,
                length: 100,
            };
            Command::Recut(Recut {
                outputs: to.map(output).collect(),
                destination: group(words.number("of")),
                after: TransferSequence(words.number("after").unwrap()),
                through: TransferSequence(words.number("through").unwrap()),
            })
        }
        _ => return None,
    })
}

fn inherit(words: &mut Words) -> Inherit {
    let through = words.number("through").map(TransferSequence);
    let feed = words.value("feed").map(|feed| (source(feed), through.unwrap()));
    let (left_ms, message) = (words.time("left"), words.number("message"));
    let dedup = words.number("id").map(|id| InheritedId {
        id: DedupId(id.into()),
        message: MessageId(message.unwrap()),
        left_ms: left_ms.unwrap(),
    });
    Inherit {
        parent: GroupId(words.number("parent").unwrap() as u32),
        lease_base: LeaseId(words.number("base").unwrap_or(0)),
        sources: feed.into_iter().collect(),
        dedup: dedup.into_iter().collect(),
        keys: keys(words),
    }
}

fn keys(words: &mut Words) -> Vec<KeyHash> {
    let keys = words.value("keys").map_or_else(Vec::new, |keys| keys.split(',').collect());
    keys.into_iter().map(|key| KeyHash(key.parse().unwrap())).collect()
}

fn keys_in_words(keys: &[KeyHash]) -> String {
    let words: Vec<String> = keys.iter().map(|key| key.0.to_string()).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

fn reply_in_words(reply: &Reply) -> String {
    match reply {
        Reply::Enqueued { first, count, duplicates, repeated } => {
            let mut words = format!("enqueued {first}..{}", first.0 + u64::from(*count));
            if *repeated {
                words += " again";
            }
            for duplicate in duplicates {
                write!(words, ", record {} is message {}", duplicate.record, duplicate.original).unwrap();
            }
            words
        }
        Reply::Leased { messages } if messages.is_empty() => "leased nothing".to_owned(),
        Reply::Leased { messages } => messages
            .iter()
            .fold("leased".to_owned(), |words, granted| words + " " + &granted_in_words(granted)),
        Reply::Settled { outcomes } => outcomes
            .iter()
            .map(|outcome| match outcome {
                Settled::Done => "done".to_owned(),
                Settled::Extended { deadline } => format!("extended to {deadline}"),
                Settled::Parked => "parked".to_owned(),
                Settled::LeaseLost => "lease lost".to_owned(),
            })
            .collect::<Vec<_>>()
            .join(", "),
        Reply::Redriven { count } => format!("redriven {count}"),
        Reply::Discarded { count } => format!("discarded {count}"),
        Reply::Purged { messages, before, more } => {
            format!("purged {messages} before {before}{}", if *more { ", more to do" } else { "" })
        }
        Reply::Moved { count } => format!("moved {count}"),
        Reply::Transferred { through } => format!("taken in through {through}"),
        Reply::Replayed(replayed) => {
            format!("replayed {} up to {} of {}", replayed.count, replayed.next, replayed.end)
        }
        Reply::Relocated { messages } => format!("relocated {messages}"),
        Reply::Done => "done".to_owned(),
        Reply::Sealed => "sealed".to_owned(),
    }
}

fn granted_in_words(granted: &Granted) -> String {
    let attempt = if granted.attempt > 1 { format!(" (try {})", granted.attempt) } else { String::new() };
    format!("{}#{}{attempt}", granted.message, granted.lease)
}

fn view_in_words(view: &MessageView) -> String {
    let mut words = format!("{}", view.message);
    match &view.state {
        MessageState::Ready => words += " ready",
        MessageState::Scheduled { until } => write!(words, " scheduled in {}ms", *until - START).unwrap(),
        MessageState::Delayed { until } => write!(words, " delayed until {}ms", *until - START).unwrap(),
        MessageState::Leased { lease, session, deadline, .. } => {
            write!(words, " leased #{lease} until {deadline}").unwrap();
            if let Some(session) = session {
                write!(words, " by session {}", session.0).unwrap();
            }
        }
        MessageState::Parked { reason, holds_key, .. } => {
            write!(words, " parked, {reason:?}{}", if *holds_key { ", holds its key" } else { "" }).unwrap();
        }
    }
    if view.attempts > 0 {
        write!(words, ", attempts {}", view.attempts).unwrap();
    }
    if let Some(key) = view.key {
        write!(words, ", key {}", key.0).unwrap();
    }
    if let Some(tenant) = view.tenant {
        write!(words, ", tenant {}", tenant.0).unwrap();
    }
    if let Some(before) = view.waits_behind {
        write!(words, ", waits behind {before}").unwrap();
    }
    words
}
