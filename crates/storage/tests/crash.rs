//! A real process, killed with SIGKILL again and again while it writes: everything that it acknowledged is there
//! afterwards, and no row is ahead of the entry that it was computed from.
//!
//! The test starts its own binary again as the victim; the victim says on stdout what it does:
//!
//! | line | meaning |
//! |---|---|
//! | `ack G I T` | entry I of group G, term T, was acknowledged |
//! | `vote G N` | vote N was acknowledged |
//! | `cut G I` | entries from I on are about to be truncated |
//! | `retire G I` | entries before I are about to be retired |

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use weir_storage::{Backend, GroupStore, LogClass, LogRecord, Options, Recovered, Store};
use weir_types::{GroupId, LogIndex, RowChange, Term};

const DIRECTORY: &str = "WEIR_CRASH_TEST_DIRECTORY";
const GROUPS: u32 = 6;
const KILLS: usize = 25;
/// A victim that nobody kills ends by itself.
const ENTRIES_PER_LIFE: u64 = 20_000;
/// Rows are this many entries behind the log, and truncations reach less far back.
const APPLIED_LAG: u64 = 5;

fn class(group: u32) -> LogClass {
    if group.is_multiple_of(2) { LogClass::Stream } else { LogClass::Queue }
}

fn options(directory: &Path) -> Options {
    let mut options = Options::rocks(directory);
    options.bucket_bytes = 64 << 10;
    options.tail_cache_bytes_max = 16 << 10;
    options.free_bytes_min = 0;
    if let Backend::Rocks(rocks) = &mut options.backend {
        rocks.ballast_bytes = 0;
        rocks.wal_bytes_max = 2 << 20;
        rocks.stream_buffer_bytes = 256 << 10;
        rocks.queue_buffer_bytes = 256 << 10;
    }
    options
}

fn record(group: u32, index: u64, term: u64) -> LogRecord {
    let payload = Bytes::from(format!("{group}/{index}/{term} ").repeat(1 + index as usize % 200));
    LogRecord { index: LogIndex(index), term: Term(term), kind: 0, payload }
}

fn say(line: &str) {
    // A parent that has gone away kills the victim soon enough.
    writeln!(std::io::stdout(), "{line}").ok();
}

#[test]
fn everything_acknowledged_survives_a_kill() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return victim(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut promised = Promised::default();
    for round in 0..KILLS {
        let lines = live_and_die(directory.path(), 30 + 173 * round % 900);
        for line in &lines {
            promised.note(line);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(promised.check(directory.path()));
    }
    assert!(promised.groups.len() == GROUPS as usize, "every group did something");
}

/// Runs the victim until it has said so much, kills it, and returns all it said.
fn live_and_die(directory: &Path, lines_until_kill: usize) -> Vec<String> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "everything_acknowledged_survives_a_kill", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut lines: Vec<String> = said.by_ref().take(lines_until_kill).collect();
    victim.kill().unwrap();
    victim.wait().unwrap();
    // What was in the pipe was acknowledged before the kill; a last line cut short is not a promise.
    lines.extend(said);
    lines
}

/// What a group must have.
#[derive(Debug, Default)]
struct Group {
    acknowledged: BTreeMap<u64, u64>,
    vote: u64,
    retired_before: u64,
}

#[derive(Debug, Default)]
struct Promised {
    groups: BTreeMap<u32, Group>,
}

impl Promised {
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let group = |promised: &mut Self| -> u32 {
            let id = number(1) as u32;
            promised.groups.entry(id).or_default();
            id
        };
        match words[0] {
            "ack" => {
                let id = group(self);
                self.groups.get_mut(&id).unwrap().acknowledged.insert(number(2), number(3));
            }
            "vote" => {
                let id = group(self);
                self.groups.get_mut(&id).unwrap().vote = number(2);
            }
            "cut" => {
                let id = group(self);
                self.groups.get_mut(&id).unwrap().acknowledged.split_off(&number(2));
            }
            "retire" => {
                let id = group(self);
                self.groups.get_mut(&id).unwrap().retired_before = number(2);
            }
            // The test harness of the victim talks too.
            _ => {}
        }
    }

    async fn check(&self, directory: &Path) {
        let (store, recovered): (Store, Recovered) = Store::start(options(directory)).await.unwrap();
        assert!(!recovered.lost_writes);
        for (id, promised) in &self.groups {
            check_group(&store.group(GroupId(*id), class(*id)), *id, promised).await;
        }
        store.close().await;
    }
}

async fn check_group(group: &GroupStore, id: u32, promised: &Group) {
    let state = group.load().await.unwrap();
    let vote = state.vote.map_or(0, |vote| u64::from_be_bytes(vote.as_ref().try_into().unwrap()));
    assert!(vote >= promised.vote, "group {id}: vote {vote} of {}", promised.vote);
    let (Some(first), Some(last)) = (state.first, state.last) else {
        assert!(promised.acknowledged.is_empty(), "group {id} is empty");
        return;
    };
    let mut found = BTreeMap::new();
    let mut next = first.index.0;
    while next <= last.index.0 {
        // A hole is an error of the read.
        for read in group.read(next..last.index.0 + 1, 1 << 20).await.unwrap() {
            assert_eq!(read, record(id, read.index.0, read.term.0));
            found.insert(read.index.0, read.term.0);
            next = read.index.0 + 1;
        }
    }
    for (index, term) in promised.acknowledged.range(promised.retired_before..) {
        assert_eq!(found.get(index), Some(term), "group {id}, entry {index}");
    }
    let rows = group.rows().await.unwrap();
    if let Some(applied) = rows.iter().find(|row| row.key == b"applied") {
        let applied = u64::from_be_bytes(applied.value.as_slice().try_into().unwrap());
        assert!(applied <= last.index.0, "group {id}: row of entry {applied}, last is {}", last.index);
    }
}

/// What the test above is in the process that it starts and kills.
fn victim(directory: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let (store, _) = Store::start(options(directory)).await.unwrap();
        let tasks: Vec<_> =
            (1..=GROUPS).map(|id| tokio::spawn(write(store.group(GroupId(id), class(id)), id))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn write(group: GroupStore, id: u32) {
    let state = group.load().await.unwrap();
    let (mut next, term) = state.last.map_or((1, 1), |last| (last.index.0 + 1, last.term.0 + 1));
    for step in 1..ENTRIES_PER_LIFE {
        let count = 1 + step % 3;
        let records = (next..next + count).map(|index| record(id, index, term)).collect();
        next += count;
        let last = next - 1;
        let acknowledge = move |result: Result<(), _>| {
            result.unwrap();
            for index in next - count..next {
                say(&format!("ack {id} {index} {term}"));
            }
        };
        group.append(records, acknowledge).await.unwrap();
        if last > APPLIED_LAG {
            let applied = last - APPLIED_LAG;
            let row = |key: &str| RowChange::put(key.as_bytes().to_vec(), applied.to_be_bytes().to_vec());
            group.write_rows(vec![row("applied"), row(&format!("row{}", applied % 100))]).await.unwrap();
        }
        if step.is_multiple_of(17) {
            // Returns when it is synced, and everything before it.
            group.save_vote(Bytes::copy_from_slice(&step_vote(term, step))).await.unwrap();
            say(&format!("vote {id} {}", u64::from_be_bytes(step_vote(term, step))));
            let from = next - 2;
            say(&format!("cut {id} {from}"));
            group.truncate_after(Some(LogIndex(from - 1))).await.unwrap();
            next = from;
        }
        if step.is_multiple_of(40) && next > 200 {
            let before = next - 150;
            say(&format!("retire {id} {before}"));
            group.retire_before(LogIndex(before)).await.unwrap();
        }
        if step.is_multiple_of(25) {
            group.save_vote(Bytes::copy_from_slice(&step_vote(term, step))).await.unwrap();
        }
    }
}

/// Votes rise over lives, because terms do.
fn step_vote(term: u64, step: u64) -> [u8; 8] {
    (term * ENTRIES_PER_LIFE + step).to_be_bytes()
}
