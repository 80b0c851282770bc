//! Control groups: how much of the processor and of memory a node gets. Both versions of the kernel's interface.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::error::{Error, Result, Tried as _};
use super::ledger::{Ledger, Made};

/// The period over which a share of the processor is counted, in microseconds.
const PERIOD_US: u64 = 100_000;
/// What version 1 takes for no limit of memory.
const NO_LIMIT_V1: &str = "-1";

/// A resource that can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

impl Resource {
    fn controller(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

/// The two versions, which name things differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A group for one node and one resource.
#[derive(Debug)]
pub(crate) struct Group {
    resource: Resource,
    version: Version,
    path: PathBuf,
}

impl Group {
    /// Makes one, below the group that this process is in.
    pub(crate) fn make(ledger: &Ledger, resource: Resource, name: &str) -> Result<Self> {
        let (version, parent) = parent(resource)?;
        let path = parent.join(name);
        ledger.add(&Made::Group(path.clone()))?;
        if version == Version::Two {
            let control = parent.join("cgroup.subtree_control");
            fs::write(&control, format!("+{}", resource.controller())).at("writing", &control)?;
        }
        // Version 2 has one tree: the other resource may have made it.
        fs::create_dir_all(&path).at("making", &path)?;
        Ok(Self { resource, version, path })
    }

    /// Puts a process into it, unless it has ended.
    pub(crate) fn take(&self, process: u32) -> Result<()> {
        let path = self.path.join("cgroup.procs");
        match fs::write(&path, process.to_string()) {
            // As one does at once that finds its data damaged; whoever counts on it will notice.
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
            written => written.at("writing", &path),
        }
    }

    /// Limits the processor to a share of one core, in hundredths; None lifts the limit.
    pub(crate) fn limit_cpu(&self, percent: Option<u64>) -> Result<()> {
        debug_assert_eq!(self.resource, Resource::Cpu);
        let quota = percent.map(|percent| PERIOD_US / 100 * percent);
        match self.version {
            Version::One => {
                self.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                self.write(
                    "cpu.cfs_quota_us",
                    &quota.map_or_else(|| "-1".to_owned(), |quota| quota.to_string()),
                )
            }
            Version::Two => {
                let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
                self.write("cpu.max", &format!("{quota} {PERIOD_US}"))
            }
        }
    }

    /// Limits memory to so many bytes; None lifts the limit.
    pub(crate) fn limit_memory(&self, bytes: Option<u64>) -> Result<()> {
        debug_assert_eq!(self.resource, Resource::Memory);
        let (file, none) = match self.version {
            Version::One => ("memory.limit_in_bytes", NO_LIMIT_V1),
            Version::Two => ("memory.max", "max"),
        };
        self.write(file, &bytes.map_or_else(|| none.to_owned(), |bytes| bytes.to_string()))
    }

    /// Bytes in use.
    pub(crate) fn memory_used(&self) -> Result<u64> {
        let path = self.path.join(match self.version {
            Version::One => "memory.usage_in_bytes",
            Version::Two => "memory.current",
        });
        let text = fs::read_to_string(&path).at("reading", &path)?;
        text.trim().parse().map_err(|_| Error::Unable(format!("{} holds no number", path.display())))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path.join(file);
        fs::write(&path, text).at("writing", &path)
    }
}

/// Deletes a group, which has no processes any more; none there is well, too.
pub(crate) fn delete(path: &Path) -> Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("removing", path),
        _ => Ok(()),
    }
}

/// The group that new ones are made in: this process's own, so that limits of the host hold for the nodes as well.
fn parent(resource: Resource) -> Result<(Version, PathBuf)> {
    let mounts = fs::read_to_string("/proc/mounts").tried(|| "reading /proc/mounts".to_owned())?;
    let own = fs::read_to_string("/proc/self/cgroup").tried(|| "reading /proc/self/cgroup".to_owned())?;
    let controller = resource.controller();
    let has = |list: &str, separator| list.split(separator).any(|word| word == controller);
    for mount in mounts.lines() {
        let fields: Vec<&str> = mount.split(' ').collect();
        let [_, point, kind, options, ..] = fields[..] else { continue };
        let version = match kind {
            "cgroup" if has(options, ',') => Version::One,
            "cgroup2" => Version::Two,
            _ => continue,
        };
        let Some(inside) = own.lines().find_map(|line| own_path(line, version, controller)) else { continue };
        let path = Path::new(point).join(inside.trim_start_matches('/'));
        let offered = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
        if version == Version::One || has(offered.trim(), ' ') {
            return Ok((version, path));
        }
    }
    Err(Error::Unable(format!("no control group offers `{controller}`")))
}

/// The path in a line of `/proc/self/cgroup`, `id:controllers:path`, if it is about this tree.
fn own_path<'a>(line: &'a str, version: Version, controller: &str) -> Option<&'a str> {
    let mut fields = line.splitn(3, ':');
    let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let fits = match version {
        Version::One => controllers.split(',').any(|word| word == controller),
        Version::Two => id == "0" && controllers.is_empty(),
    };
    fits.then_some(path)
}
