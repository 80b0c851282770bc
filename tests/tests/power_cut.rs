//! The simulated disk allows every outcome that the real one shows after a power cut: random writes go to `RocksDB` on
//! a small ext4 of its own, whose unsynced data the kernel then throws away, and to the memory disk, which is crashed
//! in every way that it knows. What the real store has afterwards must be among what the memory disk allows.
//!
//! Needs root, loop devices, ext4 and perl; where one is missing the test says so and does nothing.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stderr, reason = "a test that cannot run says why")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::oneshot;
use weir_storage::{Backend, GroupStore, LogClass, LogRecord, MemoryDisk, Options, Store};
use weir_tests::Dice;
use weir_types::{GroupId, LogIndex, RowChange, Term};

/// Power cuts, each after writes of its own.
const ROUNDS: u64 = 6;
/// Writes before a power cut.
const WRITES_MAX: u64 = 60;
const IMAGE_BYTES: u64 = 192 << 20;
/// Throws away what is not on the device yet, as `EXT4_IOC_SHUTDOWN` with `NOLOGFLUSH` does.
const SHUT_DOWN: &str = r#"open(my $d, "<", $ARGV[0]) or die "open: $!"; my $f = pack("I", 2); ioctl($d, 0x8004587d, $f) or die "ioctl: $!""#;

/// One write. Later ones build on what was there.
#[derive(Clone, Debug)]
enum Write {
    Append { group: u32, count: u64 },
    Truncate { group: u32, keep: u64 },
    Vote { group: u32, term: u64 },
    Committed { group: u32, index: u64 },
    Rows { group: u32, key: u64, value: u64 },
    Retire { group: u32, before: u64 },
}

impl Write {
    fn draw(dice: &mut Dice) -> Self {
        let group = 1 + dice.below(3) as u32;
        match dice.below(12) {
            0..3 => Self::Append { group, count: 1 + dice.below(4) },
            3 => Self::Truncate { group, keep: dice.below(6) },
            4 => Self::Vote { group, term: dice.below(100) },
            5 => Self::Committed { group, index: dice.below(100) },
            6..11 => Self::Rows { group, key: dice.below(5), value: dice.below(1_000) },
            _ => Self::Retire { group, before: dice.below(8) },
        }
    }
}

/// A store with what is known of its logs: the next index of each group, and the first that is left.
struct Writer {
    store: Store,
    term: u64,
    logs: [(u64, u64); 3],
}

impl Writer {
    fn group(&self, group: u32) -> GroupStore {
        let class = if group == 1 { LogClass::Queue } else { LogClass::Stream };
        self.store.group(GroupId(group), class)
    }

    /// Writes, and waits until it is written, in a batch of its own; synced where the store promises that.
    async fn write(&mut self, write: &Write) {
        match *write {
            Write::Append { group, count } => {
                let (_, next) = self.logs[group as usize - 1];
                let records = (next..next + count).map(|index| record(index, self.term)).collect();
                let (done, synced) = oneshot::channel();
                self.group(group).append(records, |result| done.send(result).unwrap()).await.unwrap();
                synced.await.unwrap().unwrap();
                self.logs[group as usize - 1].1 = next + count;
            }
            Write::Truncate { group, keep } => {
                let (first, next) = self.logs[group as usize - 1];
                let kept = (next.saturating_sub(1 + keep)).max(first.saturating_sub(1));
                if kept + 1 < next && kept > 0 {
                    self.term += 1;
                    self.group(group).truncate_after(Some(LogIndex(kept))).await.unwrap();
                    self.logs[group as usize - 1].1 = kept + 1;
                }
            }
            Write::Vote { group, term } => {
                self.group(group).save_vote(Bytes::from(format!("vote {term}"))).await.unwrap();
            }
            Write::Committed { group, index } => {
                self.group(group).save_committed(Bytes::from(format!("committed {index}"))).await.unwrap();
            }
            Write::Rows { group, key, value } => {
                let row = RowChange::put(vec![1, key as u8], value.to_be_bytes().to_vec());
                self.group(group).write_rows(vec![row]).await.unwrap();
            }
            Write::Retire { group, before } => {
                let (first, next) = self.logs[group as usize - 1];
                let before = (first + before).min(next);
                self.group(group).retire_before(LogIndex(before)).await.unwrap();
                self.logs[group as usize - 1].0 = before;
            }
        }
        self.store.groups().await.unwrap();
    }
}

fn record(index: u64, term: u64) -> LogRecord {
    let payload = Bytes::from(format!("{term}/{index}").repeat(20));
    LogRecord { index: LogIndex(index), term: Term(term), kind: 1, payload }
}

async fn open(mut options: Options) -> Writer {
    options.bucket_bytes = 4 << 10;
    options.free_bytes_min = 0;
    let (store, recovered) = Store::start(options).await.unwrap();
    assert!(!recovered.lost_writes, "an honest disk loses nothing that was synced");
    Writer { store, term: 1, logs: [(1, 1); 3] }
}

fn rocks(path: &Path) -> Options {
    let mut options = Options::rocks(path);
    if let Backend::Rocks(rocks) = &mut options.backend {
        rocks.ballast_bytes = 0;
        rocks.stream_buffer_bytes = 1 << 20;
        rocks.queue_buffer_bytes = 1 << 20;
        rocks.rows_buffer_bytes = 1 << 20;
    }
    options
}

/// Everything that a store holds, in words. Entries before `retired` may have come back, which is allowed.
async fn contents(writer: &Writer, retired: [u64; 3]) -> String {
    let mut all = String::new();
    for number in 1..=3u32 {
        let group = writer.group(number);
        let state = group.load().await.unwrap();
        let first = state.first.map_or(0, |first| first.index.0).max(retired[number as usize - 1]);
        let last = state.last.map_or(0, |last| last.index.0);
        let log = if first == 0 || first > last {
            Vec::new()
        } else {
            group.read(first..last + 1, usize::MAX).await.unwrap()
        };
        let log: Vec<_> =
            log.iter().map(|entry| (entry.index.0, entry.term.0, entry.payload.len())).collect();
        let rows = group.rows().await.unwrap();
        writeln!(all, "{number}: {:?} {:?} {log:?} {rows:?}", state.vote, state.committed).unwrap();
    }
    all
}

/// All that the memory disk may have after these writes and a crash.
async fn allowed(writes: &[Write]) -> Vec<String> {
    let mut outcomes = Vec::new();
    for kept in 0.. {
        let disk = MemoryDisk::new();
        let mut writer = open(Options::memory(disk.clone())).await;
        for write in writes {
            writer.write(write).await;
        }
        let unsynced = disk.unsynced_batches();
        let retired = writer.logs.map(|(first, _)| first);
        disk.crash_keeping(kept);
        writer.store.close().await;
        let writer = open(Options::memory(disk)).await;
        outcomes.push(contents(&writer, retired).await);
        writer.store.close().await;
        if kept >= unsynced {
            break;
        }
    }
    outcomes
}

/// A small ext4 in a file, mounted.
struct Mount {
    folder: TempDir,
}

impl Mount {
    fn make() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mount = Self { folder };
        let image = std::fs::File::create(mount.image()).map_err(|error| error.to_string())?;
        image.set_len(IMAGE_BYTES).map_err(|error| error.to_string())?;
        std::fs::create_dir(mount.path()).map_err(|error| error.to_string())?;
        run("perl", &["-e".as_ref(), "exit 0".as_ref()])?;
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), mount.image().as_os_str()])?;
        mount.mount()?;
        Ok(mount)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o".as_ref(), "loop".as_ref(), self.image().as_os_str(), self.path().as_os_str()])
    }

    fn unmount(&self) -> Result<(), String> {
        run("umount", &[self.path().as_os_str()])
    }

    fn cut_power(&self) -> Result<(), String> {
        run("perl", &["-e".as_ref(), SHUT_DOWN.as_ref(), self.path().as_os_str()])
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // The folder can only be removed without the mount; one that is left says so by itself.
        self.unmount().ok();
    }
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_disk_allows_what_rocksdb_shows_after_a_power_cut() {
    let mount = match Mount::make() {
        Ok(mount) => mount,
        Err(reason) => {
            eprintln!(
                "SKIPPED, nothing was tested: this host cannot cut the power of a file system: {reason}"
            );
            return;
        }
    };
    let seed = Dice::seed_from("WEIR_SEED");
    eprintln!("WEIR_SEED={seed}");
    let mut dice = Dice::new(seed);
    for round in 0..ROUNDS {
        let writes: Vec<Write> = (0..=dice.below(WRITES_MAX)).map(|_| Write::draw(&mut dice)).collect();
        let data = mount.path().join(format!("round{round}"));
        let mut writer = open(rocks(&data)).await;
        for write in &writes {
            writer.write(write).await;
        }
        let retired = writer.logs.map(|(first, _)| first);
        mount.cut_power().unwrap();
        writer.store.close().await;
        drop(writer);
        mount.unmount().unwrap();
        mount.mount().unwrap();
        let writer = open(rocks(&data)).await;
        let found = contents(&writer, retired).await;
        writer.store.close().await;
        drop(writer);
        let allowed = allowed(&writes).await;
        eprintln!(
            "round {round}: outcome {:?} of {} that are allowed",
            allowed.iter().position(|outcome| *outcome == found),
            allowed.len()
        );
        assert!(
            allowed.contains(&found),
            "after {writes:#?} the real store has\n{found}\nwhich is none of\n{allowed:#?}"
        );
    }
}
