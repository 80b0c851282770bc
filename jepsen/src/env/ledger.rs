//! What a site made on the host, written down before it is made, so that somebody else can take it down.
//!
//! A ledger is a file of one JSON line per thing, locked by the process that writes it. Who gets the lock knows that
//! the writer is gone: the watchdog, or the next start of the harness. Taking down twice does no harm.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::error::{Result as Done, Tried as _};
use super::{cgroup, disk, netns, watchdog};

/// How often it is looked whether a killed process is gone, and for how long.
const GONE_EVERY: Duration = Duration::from_millis(10);
const GONE_LOOKS: u32 = 500;

/// A thing on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Made {
    /// A process, and when it started in the kernel's ticks: an id alone may be somebody else's by now.
    Process(i32, u64),
    /// A mounted file system.
    Mount(PathBuf),
    /// A file that holds a disk.
    Image(PathBuf),
    /// A network namespace.
    Namespace(String),
    /// A control group.
    Group(PathBuf),
}

/// The ledger of one site.
pub(crate) struct Ledger {
    number: u32,
    path: PathBuf,
    file: Mutex<File>,
    watchdog: Option<Child>,
}

impl Ledger {
    /// Opens a new one, with a watchdog on it, under the name that is to be used for what it will list. Leftovers of dead
    /// harnesses are taken down before.
    pub(crate) fn open() -> Done<(Self, String)> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        clean_leftovers();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("wj{}-{number}", std::process::id());
        let folder = folder();
        fs::create_dir_all(&folder).at("making", &folder)?;
        let path = folder.join(&name);
        let file = loop {
            let mut options = OpenOptions::new();
            let file = options.create(true).append(true).read(true).open(&path).at("opening", &path)?;
            file.lock().at("locking", &path)?;
            // Before the lock another harness may have taken it for abandoned, and removed it.
            if path.exists() {
                break file;
            }
        };
        let watchdog = watchdog::start(&path);
        Ok((Self { number, path, file: Mutex::new(file), watchdog }, name))
    }

    /// Writes a thing down.
    pub(crate) fn add(&self, made: &Made) -> Done<()> {
        let mut line = serde_json::to_vec(made).expect("plain data are valid JSON");
        line.push(b'\n');
        self.file.lock().write_all(&line).at("writing", &self.path)
    }

    /// Its place among the ledgers of this process.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Takes everything down, and what it lists is no more; `keep` spares the files of disks.
    pub(crate) fn undo(&self, keep: bool) -> Vec<String> {
        let file = self.file.lock();
        let problems = undo(&self.path, keep);
        if problems.is_empty() {
            let _ = file.set_len(0);
            let _ = fs::remove_file(&self.path);
        }
        problems
    }
}

impl Drop for Ledger {
    /// For sites that failed half built; nothing is left to do for others.
    fn drop(&mut self) {
        if !self.undo(false).is_empty() {
            // The watchdog gets its chance when the file is closed.
            return;
        }
        if let Some(watchdog) = &mut self.watchdog {
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
    }
}

/// Where ledgers are: gone after a reboot, like what they list.
fn folder() -> PathBuf {
    let run = Path::new("/run/weir-jepsen");
    if rustix::process::geteuid().is_root() {
        return run.to_owned();
    }
    std::env::temp_dir().join(format!("weir-jepsen-{}", rustix::process::geteuid().as_raw()))
}

/// Takes down what dead harnesses left behind. Sites of living ones are not touched.
fn clean_leftovers() {
    let Ok(entries) = fs::read_dir(folder()) else { return };
    entries.flatten().for_each(|entry| undo_if_abandoned(&entry.path()));
}

/// What cannot be taken down stays listed, and is tried again by the next.
fn undo_if_abandoned(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    if file.try_lock().is_ok() && undo(path, false).is_empty() {
        let _ = fs::remove_file(path);
    }
}

/// Waits until the writer of a ledger is gone, and takes down what it left. Returns at once if that is nothing.
pub(crate) fn guard(path: &Path) -> Vec<String> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    if file.lock().is_err() {
        return Vec::new();
    }
    let problems = undo(path, false);
    if problems.is_empty() {
        let _ = fs::remove_file(path);
    }
    problems
}

/// Processes first, as they use all the rest; the rest in reverse order of its making.
fn undo(path: &Path, keep: bool) -> Vec<String> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    // The last line may be half written; what it would have named was not made yet.
    let made: Vec<Made> = lines.filter_map(|line| serde_json::from_str(&line).ok()).collect();
    let mut problems = Vec::new();
    for thing in &made {
        match thing {
            Made::Process(id, started) => end_process(*id, *started),
            Made::Namespace(name) => netns::processes(name).into_iter().for_each(end_any),
            _ => {}
        }
    }
    for thing in made.iter().rev() {
        let undone = match thing {
            Made::Process(..) => Ok(()),
            Made::Image(_) if keep => Ok(()),
            Made::Mount(path) => disk::unmount(path),
            Made::Image(path) => disk::remove_image(path),
            Made::Namespace(name) => netns::delete(name),
            Made::Group(path) => cgroup::delete(path),
        };
        problems.extend(undone.err().map(|error| error.to_string()));
    }
    problems
}

/// When a process started, in ticks since the boot; None when there is none.
pub(crate) fn started_at(id: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name stands in parentheses and may hold anything; the state is the first field behind it, this the 20th.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

fn end_process(id: i32, started: u64) {
    if started_at(id) == Some(started) {
        end_any(id);
    }
}

fn end_any(id: i32) {
    let Some(pid) = Pid::from_raw(id) else { return };
    let Some(started) = started_at(id) else { return };
    let _ = kill_process(pid, Signal::KILL);
    for _ in 0..GONE_LOOKS {
        if started_at(id) != Some(started) || is_dead(id) {
            return;
        }
        std::thread::sleep(GONE_EVERY);
    }
}

/// Whether it only waits for its parent to notice.
fn is_dead(id: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}
