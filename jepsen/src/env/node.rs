//! One node: its home, disk and limits, and its process while it runs.

use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Resource as Limit, Rlimit, Signal, kill_process, prlimit};
use weir_types::mutants;

use super::cgroup::{Group, Resource};
use super::config::{CLIENT_PORT, HTTP_PORT, NodeConfig, PEER_PORT};
use super::disk::Disk;
use super::error::{Error, Result, Tried as _};
use super::interposer::{FileFaults, Interposer};
use super::ledger::{Ledger, Made, started_at};
use super::log::LogReader;
use super::netns::Namespace;
use super::{options, page};

/// How often a process is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

struct Life {
    child: Option<Child>,
    /// Whether somebody started it and nobody ended it since.
    wanted: bool,
    /// How many faults are at work that may end it: while there is one, its end is no surprise.
    dangers: u32,
    /// An end that nobody asked for and nobody was told of yet.
    unasked: Option<ExitStatus>,
    /// What it did that no node may do, and nobody was told of yet.
    blamed: Vec<String>,
    log: LogReader,
}

/// Groups that limit the node, where the host has them.
struct Groups {
    cpu: Option<Group>,
    memory: Option<Group>,
}

/// A node of a site.
pub struct Node {
    name: String,
    address: Ipv4Addr,
    config: PathBuf,
    log: PathBuf,
    disk: Disk,
    interposer: Interposer,
    groups: Groups,
    /// Where its process lives; None is the harness's own network.
    namespace: Option<Namespace>,
    /// From where it is asked for pages; None is the harness's own network.
    observer: Option<Arc<Namespace>>,
    ledger: Arc<Ledger>,
    binary: PathBuf,
    mutant: Option<String>,
    /// Nodes of two builds are to work together.
    mixed: bool,
    life: Mutex<Life>,
}

/// What a site tells its nodes.
pub(crate) struct NodeOptions<'a> {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) home: PathBuf,
    pub(crate) seeds: &'a [String],
    pub(crate) site: &'a options::SiteOptions,
    pub(crate) namespace: Option<Namespace>,
    pub(crate) observer: Option<Arc<Namespace>>,
    pub(crate) ledger: &'a Arc<Ledger>,
    pub(crate) group: String,
}

impl Node {
    /// Makes its home and disk; nothing runs yet.
    pub(crate) fn prepare(options: NodeOptions<'_>) -> Result<Self> {
        let NodeOptions { name, address, home, seeds, site, namespace, observer, ledger, group } = options;
        fs::create_dir_all(&home).at("making", &home)?;
        let disk = Disk::make(ledger, &home, site.disk)?;
        let data = disk.data();
        let expect = site.nodes;
        let text =
            NodeConfig { name: &name, data: &data, address, seeds, expect, log_level: &site.log_level };
        let config = home.join("weir.toml");
        fs::write(&config, text.to_toml()).at("writing", &config)?;
        let interposer = Interposer::prepare(&home, &data)?;
        let log = home.join("log");
        let groups = Groups {
            cpu: Group::make(ledger, Resource::Cpu, &group).ok(),
            memory: Group::make(ledger, Resource::Memory, &group).ok(),
        };
        let life = Life {
            child: None,
            wanted: false,
            dangers: 0,
            unasked: None,
            blamed: Vec::new(),
            log: LogReader::new(&log),
        };
        Ok(Self {
            name,
            address,
            config,
            log,
            disk,
            interposer,
            groups,
            namespace,
            observer,
            ledger: Arc::clone(ledger),
            binary: site.binary.clone(),
            mutant: site.mutant.clone(),
            mixed: site.other_binary.is_some(),
            life: Mutex::new(life),
        })
    }

    /// As in histories, and in the cluster's own status.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens: clients, peers, HTTP.
    pub fn addresses(&self) -> [SocketAddr; 3] {
        [CLIENT_PORT, PEER_PORT, HTTP_PORT].map(|port| SocketAddr::from((self.address, port)))
    }

    /// Where its data lie.
    pub fn data(&self) -> PathBuf {
        self.disk.data()
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its disk's and clock's faults.
    pub fn interposer(&self) -> &Interposer {
        &self.interposer
    }

    /// Starts the process, unless it runs.
    pub fn start(&self) -> Result<()> {
        self.start_build(&self.binary)
    }

    /// Starts the process from some build, unless it runs.
    pub fn start_build(&self, binary: &Path) -> Result<()> {
        let mut life = self.life.lock();
        life.reap();
        if life.child.is_some() {
            return Ok(());
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log).at("opening", &self.log)?;
        let errors = log.try_clone().at("opening", &self.log)?;
        let mut command = Command::new(binary);
        command.arg("server").arg("--config").arg(&self.config);
        // A node takes its settings from variables, too: those of the shell are not meant.
        std::env::vars().filter(|(name, _)| name.starts_with("WEIR_")).for_each(|(name, _)| {
            command.env_remove(name);
        });
        command.env("NO_COLOR", "1").env("RUST_BACKTRACE", "1").envs(self.interposer.variables());
        command.envs(self.mutant.iter().map(|name| (mutants::VARIABLE, name)));
        // Both builds read what is written at the first feature level, and an older one knows no such setting.
        command.envs(self.mixed.then_some(("WEIR_CLUSTER_FEATURE_LEVEL", "1")));
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let mut spawn = || command.spawn().at("starting", binary);
        let child = match &self.namespace {
            Some(namespace) => namespace.within(spawn)??,
            None => spawn()?,
        };
        let id = child.id();
        self.ledger.add(&Made::Process(id.cast_signed(), started_at(id.cast_signed()).unwrap_or(0)))?;
        life.child = Some(child);
        life.wanted = true;
        drop(life);
        let groups = [&self.groups.cpu, &self.groups.memory];
        groups.into_iter().flatten().try_for_each(|group| group.take(id))
    }

    /// Whether its process runs, frozen or not.
    pub fn is_running(&self) -> bool {
        let mut life = self.life.lock();
        life.reap();
        life.child.is_some()
    }

    /// SIGKILL, and the process is gone.
    pub fn kill(&self) -> Result<()> {
        let mut life = self.life.lock();
        life.wanted = false;
        if let Some(mut child) = life.child.take() {
            child.kill().and_then(|()| child.wait()).tried(|| format!("killing {}", self.name))?;
        }
        Ok(())
    }

    /// SIGTERM, and waits for the end; SIGKILL when that takes longer than `bound`.
    pub fn terminate(&self, bound: Duration) -> Result<()> {
        self.life.lock().wanted = false;
        self.signal(Signal::TERM)?;
        if self.ended(bound).is_none() && self.is_running() {
            self.kill()?;
            return Err(self.late("stopped", bound, "it went on, and was killed"));
        }
        Ok(())
    }

    /// Waits until the process has ended by itself; None when it does not within `bound`, or had ended before.
    pub fn ended(&self, bound: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + bound;
        loop {
            let mut life = self.life.lock();
            let status = life.child.as_mut()?.try_wait().ok().flatten();
            if status.is_some() {
                life.reap();
                return status;
            }
            drop(life);
            if Instant::now() >= end {
                return None;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Whether its process runs, and is not frozen.
    pub fn is_awake(&self) -> bool {
        let state = self.process().ok().and_then(|id| fs::read_to_string(format!("/proc/{id}/status")).ok());
        state.is_some_and(|state| !state.contains("\nState:\tT"))
    }

    /// It did what no node may do: a line for the history.
    pub fn blame(&self, what: String) {
        self.life.lock().blamed.push(what);
    }

    /// Freezes the process.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen process go on.
    pub fn go_on(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// A fault begins that may end its process.
    pub fn may_die(&self) {
        self.life.lock().dangers += 1;
    }

    /// Such a fault is over: if there is no other, its process may not end by itself any more. Whether it runs.
    pub fn must_live(&self) -> bool {
        let mut life = self.life.lock();
        life.reap();
        life.dangers = life.dangers.saturating_sub(1);
        life.child.is_some()
    }

    /// The process's id while it runs.
    pub fn process(&self) -> Result<u32> {
        let mut life = self.life.lock();
        life.reap();
        let id = life.child.as_ref().map(Child::id);
        id.ok_or_else(|| Error::Unable(format!("{} does not run", self.name)))
    }

    /// Nothing happens to a node that does not run: what ended it is told elsewhere.
    fn signal(&self, signal: Signal) -> Result<()> {
        let Ok(id) = self.process() else { return Ok(()) };
        let pid = Pid::from_raw(id.cast_signed()).expect("no process has the id 0");
        kill_process(pid, signal).tried(|| format!("signalling {}", self.name))
    }

    /// Loses everything that was not synced; the process is gone as well.
    pub fn cut_power(&self) -> Result<()> {
        self.kill()?;
        self.disk.cut_power()
    }

    /// Takes all space of its disk but `left` bytes; None gives it back.
    pub fn fill_disk(&self, left: Option<u64>) -> Result<()> {
        left.map_or_else(|| self.disk.empty(), |left| self.disk.fill(left))
    }

    /// Loses all data. It must be down.
    pub fn wipe(&self) -> Result<()> {
        self.check_down()?;
        self.disk.wipe()
    }

    /// Copies its database aside. It must be down.
    pub fn save_database(&self) -> Result<()> {
        self.check_down()?;
        self.disk.save_database()
    }

    /// Puts the copy in the place of its database. It must be down.
    pub fn restore_database(&self) -> Result<()> {
        self.check_down()?;
        self.disk.restore_database()
    }

    fn check_down(&self) -> Result<()> {
        if self.is_running() {
            return Err(Error::Unable(format!("{} runs", self.name)));
        }
        Ok(())
    }

    /// Limits it to so many hundredths of a core; None lifts the limit.
    pub fn limit_cpu(&self, percent: Option<u64>) -> Result<()> {
        self.group(self.groups.cpu.as_ref(), "cpu")?.limit_cpu(percent)
    }

    /// Limits its memory to what it uses now and so many bytes more; None lifts the limit.
    pub fn limit_memory(&self, spare: Option<u64>) -> Result<()> {
        let group = self.group(self.groups.memory.as_ref(), "memory")?;
        let limit = spare.map(|spare| group.memory_used().map(|used| used + spare)).transpose()?;
        group.limit_memory(limit)
    }

    fn group<'a>(&self, group: Option<&'a Group>, resource: &str) -> Result<&'a Group> {
        group.ok_or_else(|| Error::Unable(format!("no control group limits the {resource} of {}", self.name)))
    }

    /// Lets it open so many files and sockets more than it has open; None lifts the limit. Nothing happens to a node that
    /// does not run.
    pub fn limit_files(&self, more: Option<u64>) -> Result<()> {
        let Ok(id) = self.process() else { return Ok(()) };
        let pid = Pid::from_raw(id.cast_signed());
        let trying = || format!("limiting the files of {}", self.name);
        let hard = rustix::process::getrlimit(Limit::Nofile).maximum;
        let soft = match more {
            None => hard,
            Some(more) => {
                let open = fs::read_dir(format!("/proc/{id}/fd")).tried(trying)?.count() as u64;
                Some(open + more)
            }
        };
        prlimit(pid, Limit::Nofile, Rlimit { current: soft, maximum: hard }).tried(trying).map(drop)
    }

    /// A page of its HTTP port: status and body.
    pub fn page(&self, path: &str) -> Result<(u16, String)> {
        let ask = || page::get(self.addresses()[2], path).tried(|| format!("{path} of {}", self.name));
        self.observer.as_ref().map_or_else(ask, |observer| observer.within(ask)?)
    }

    /// Waits until it has its place in a cluster with a leader of its registry. `give_up` is asked meanwhile.
    pub fn ready(&self, bound: Duration, give_up: &dyn Fn() -> bool) -> Result<()> {
        self.wait("ready", "/readyz", bound, give_up)
    }

    /// Waits until its process answers at all. `give_up` is asked meanwhile.
    pub fn alive(&self, bound: Duration, give_up: &dyn Fn() -> bool) -> Result<()> {
        self.wait("alive", "/healthz", bound, give_up)
    }

    fn wait(
        &self,
        state: &'static str,
        page: &str,
        bound: Duration,
        give_up: &dyn Fn() -> bool,
    ) -> Result<()> {
        let end = Instant::now() + bound;
        loop {
            let last = match self.page(page) {
                Ok((200, _)) => return Ok(()),
                Ok((status, body)) => format!("{status}: {}", body.trim()),
                Err(error) => error.to_string(),
            };
            if !self.is_running() {
                return Err(self.late(state, bound, "its process ended"));
            }
            if Instant::now() >= end || give_up() {
                return Err(self.late(state, bound, &last));
            }
            std::thread::sleep(LOOK_EVERY * 10);
        }
    }

    fn late(&self, state: &'static str, bound: Duration, last: &str) -> Error {
        Error::Late { node: self.name.clone(), state, seconds: bound.as_secs(), last: last.to_owned() }
    }

    /// Whether something befell it unasked since the last look: lines for the history.
    pub(crate) fn look(&self) -> Vec<String> {
        let mut life = self.life.lock();
        life.reap();
        let mut lines = life.log.alarming();
        lines.append(&mut life.blamed);
        if let Some(status) = life.unasked.take() {
            lines.push(format!("ended by itself with {status}: {}", life.log.last_line()));
        }
        lines
    }

    /// Everything that a fault may have left on it goes, and it runs.
    pub(crate) fn restore(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut note = |result: Result<()>| problems.extend(result.err().map(|error| error.to_string()));
        note(self.go_on());
        note(self.limit_files(None));
        note(self.interposer.set(&FileFaults::default()));
        note(self.interposer.set_scope(&self.data()));
        note(self.interposer.set_clock(0));
        note(self.groups.cpu.as_ref().map_or(Ok(()), |group| group.limit_cpu(None)));
        note(self.groups.memory.as_ref().map_or(Ok(()), |group| group.limit_memory(None)));
        note(self.disk.empty());
        problems
    }
}

impl Life {
    /// Notices the end of the process.
    fn reap(&mut self) {
        let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) else {
            return;
        };
        self.child = None;
        if self.wanted && self.dangers == 0 {
            self.unasked = Some(status);
        }
    }
}
