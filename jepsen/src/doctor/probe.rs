//! Each mechanism made, looked at and removed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource as Limit, Rlimit, Signal, kill_process, prlimit};

use super::Mechanism;
use crate::env::probing::{self, Group, Ledger, Links, Network, Resource, Tried as _};
use crate::env::{Error, FileFaults, INPUT_OUTPUT_ERROR, Interposer, Result, Rule};

/// How long a connection between two hosts may take, or its reset: this is no measurement, and the host may be busy.
const CONNECTING: Duration = Duration::from_secs(10);
/// How many messages a connection may carry before it is reset.
const RESETTING: u32 = 5;
/// How long one is tried that must not come about.
const BLOCKED: Duration = Duration::from_millis(300);

/// Tries one. What it returns says how it showed.
pub(super) fn probe(mechanism: Mechanism) -> Result<String> {
    match mechanism {
        Mechanism::Signals => signals(),
        Mechanism::Network => network(),
        Mechanism::Disk => disk(),
        Mechanism::Interposer => interposer(),
        Mechanism::CpuGroup => cpu_group(),
        Mechanism::MemoryGroup => memory_group(),
        Mechanism::FileLimits => file_limits(),
    }
}

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("weir-jepsen-doctor-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).at("making", &path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that does nothing, and ends when it is dropped.
struct Idle(Child);

impl Idle {
    fn start() -> Result<Self> {
        let mut command = Command::new("sleep");
        command.arg("60").stdin(Stdio::null()).spawn().map(Self).tried(|| "starting sleep".to_owned())
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed()).expect("no process has the id 0")
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Unable(why())) }
}

fn signals() -> Result<String> {
    let idle = Idle::start()?;
    for signal in [Signal::STOP, Signal::CONT, Signal::KILL] {
        kill_process(idle.pid(), signal).tried(|| "signalling a process".to_owned())?;
    }
    Ok("a process was stopped, continued and killed".to_owned())
}

fn network() -> Result<String> {
    let (ledger, tag) = Ledger::open()?;
    let links = Arc::new(Links::default());
    let (network, hosts) = Network::build(&ledger, &tag, 2, &links, 1)?;
    let target = SocketAddr::from((Network::address(1), 7_400));
    let listener =
        hosts[1].within(|| TcpListener::bind(target).tried(|| format!("listening on {target}")))??;
    let connect = |patience| hosts[0].within(move || TcpStream::connect_timeout(&target, patience));
    let began = Instant::now();
    let mut stream = connect(CONNECTING)?.tried(|| "a connection between two hosts".to_owned())?;
    let took = began.elapsed();
    // The handshake must be over: a reset in its midst leaves nothing to accept.
    let (mut accepted, _) = listener.accept().tried(|| "accepting".to_owned())?;
    accepted.set_read_timeout(Some(CONNECTING)).tried(|| "a timeout".to_owned())?;
    links.set(1, BTreeMap::from([((0, 1), Rule { reset: true, ..Rule::default() })]));
    // A link that is carrying packets just now may carry one more by its old rule.
    let mut is_carried =
        || stream.write_all(b"this is to be reset").and_then(|()| accepted.read(&mut [0; 64]));
    let outcome = (0..RESETTING).map(|_| is_carried()).find(std::result::Result::is_err);
    let broken = matches!(&outcome, Some(Err(error)) if is_reset(error));
    ensure(broken, || format!("a connection was not reset: {outcome:?}"))?;
    links.set(1, BTreeMap::from([((1, 0), Rule::blocked())]));
    ensure(connect(BLOCKED)?.is_err(), || "a blocked link carried packets".to_owned())?;
    drop((network, hosts));
    Ok(format!("connected in {} µs, reset, and cut one way", took.as_micros()))
}

fn is_reset(error: &std::io::Error) -> bool {
    // Who writes once more after the reset finds a broken pipe.
    matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe)
}

fn disk() -> Result<String> {
    let folder = Folder::make("disk")?;
    let (ledger, _) = Ledger::open()?;
    let disk = probing::make_disk(&ledger, &folder.0)?;
    let data = disk.data();
    fs::create_dir_all(&data).at("making", &data)?;
    let (kept, lost) = (data.join("kept"), data.join("lost"));
    let mut synced = File::create(&kept).at("making", &kept)?;
    synced.write_all(&[1; 8_192]).and_then(|()| synced.sync_all()).at("writing", &kept)?;
    File::open(&data).and_then(|folder| folder.sync_all()).at("syncing", &data)?;
    synced.write_all(&[2; 8_192]).at("writing", &kept)?;
    fs::write(&lost, [3; 8_192]).at("writing", &lost)?;
    drop(synced);
    disk.cut_power()?;
    let found = fs::read(&kept).at("reading", &kept)?;
    ensure(found == [1; 8_192], || format!("{} bytes of 8192 are there after the power cut", found.len()))?;
    ensure(!lost.exists(), || "what was not synced is there after the power cut".to_owned())?;
    Ok("ext4 in a file: after a power cut what was synced is there, and nothing else".to_owned())
}

fn interposer() -> Result<String> {
    let folder = Folder::make("interposer")?;
    let interposer = Interposer::prepare(&folder.0, &folder.0)?;
    let hour = 3_600;
    interposer.set_clock(hour * 1_000_000_000)?;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs().cast_signed());
    let said = under(&interposer, Command::new("date").arg("+%s"))?;
    let ahead = said.1.trim().parse::<i64>().unwrap_or(0) - now;
    ensure((hour - 60..hour + 60).contains(&ahead), || {
        format!("a clock moved by an hour is ahead by {ahead} s")
    })?;
    let faults = FileFaults { sync_error: INPUT_OUTPUT_ERROR, ..FileFaults::default() };
    interposer.set(&faults)?;
    let mut write = Command::new("dd");
    write.args(["if=/dev/zero", "bs=4096", "count=1", "conv=fsync", "status=none"]);
    write.arg(format!("of={}", folder.0.join("file").display()));
    ensure(!under(&interposer, &mut write)?.0, || "a sync that was to fail did not".to_owned())?;
    interposer.set(&FileFaults::default())?;
    ensure(under(&interposer, &mut write)?.0, || "a sync failed without a fault".to_owned())?;
    let counts = interposer.counts()?;
    Ok(format!("a clock was moved, and 1 of {} syncs failed", counts.syncs))
}

/// Runs a program under the interposer: whether it succeeded, and what it printed.
fn under(interposer: &Interposer, command: &mut Command) -> Result<(bool, String)> {
    command.envs(interposer.variables()).stdin(Stdio::null());
    let output = command.output().tried(|| command.get_program().display().to_string())?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn cpu_group() -> Result<String> {
    let (ledger, tag) = Ledger::open()?;
    let group = Group::make(&ledger, Resource::Cpu, &tag)?;
    let mut busy = Command::new("sh");
    let busy = busy.args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn();
    let busy = Idle(busy.tried(|| "starting a shell".to_owned())?);
    group.take(busy.0.id())?;
    group.limit_cpu(Some(10))?;
    let before = ticks(busy.0.id())?;
    std::thread::sleep(Duration::from_secs(1));
    let used = ticks(busy.0.id())? - before;
    drop(busy);
    // A tick is 10 ms, and the first period may have begun before the limit.
    ensure(used <= 40, || format!("a process used {} ms of a second, limited to 100", used * 10))?;
    Ok(format!("a busy process limited to 100 ms of a second used {}", used * 10))
}

/// Processor time of a process, in hundredths of a second.
fn ticks(id: u32) -> Result<u64> {
    let path = PathBuf::from(format!("/proc/{id}/stat"));
    let stat = fs::read_to_string(&path).at("reading", &path)?;
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').skip(11).take(2);
    Ok(fields.filter_map(|field| field.parse::<u64>().ok()).sum())
}

fn memory_group() -> Result<String> {
    let (ledger, tag) = Ledger::open()?;
    let group = Group::make(&ledger, Resource::Memory, &tag)?;
    let idle = Idle::start()?;
    group.take(idle.0.id())?;
    group.limit_memory(Some(64 << 20))?;
    group.limit_memory(None)?;
    drop(idle);
    Ok("a process was limited, and the limit lifted".to_owned())
}

fn file_limits() -> Result<String> {
    let idle = Idle::start()?;
    let hard = rustix::process::getrlimit(Limit::Nofile).maximum;
    let limit = Rlimit { current: Some(16), maximum: hard };
    prlimit(Some(idle.pid()), Limit::Nofile, limit).tried(|| "limiting a process".to_owned())?;
    let path = PathBuf::from(format!("/proc/{}/limits", idle.0.id()));
    let limits = fs::read_to_string(Path::new(&path)).at("reading", &path)?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    ensure(line.split_whitespace().nth(3) == Some("16"), || format!("the limit did not take: {line}"))?;
    Ok("a running process was limited to 16 files".to_owned())
}
