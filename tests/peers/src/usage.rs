//! What a cluster used up: processor time, bytes written, and flushes of the disk, all as the kernel counts them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use weir_bench::system::Error;

/// Length of a tick of `/proc/PID/stat`.
const TICK: Duration = Duration::from_millis(10);
/// Bytes of a sector of `/sys/block/*/stat`.
const SECTOR_BYTES: u64 = 512;

/// Counters at a moment, or their difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Processor time of the nodes, in seconds.
    pub cpu_s: f64,
    /// Bytes that the nodes wrote to files, page cache included.
    pub written_bytes: u64,
    /// Bytes that went to the disk, whoever wrote them.
    pub disk_bytes: u64,
    /// Flushes of the disk's cache, whoever asked for them: several syncs at once may share one.
    pub disk_flushes: u64,
    /// Resident memory of the nodes.
    pub resident_bytes: u64,
}

impl Usage {
    /// The counters now, of these processes and the disk below `folder`.
    pub fn now(pids: &[u32], folder: &Path) -> Result<Self, Error> {
        let mut usage = Self::default();
        for pid in pids {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            let fields: Vec<&str> = stat.rsplit_once(") ").ok_or("no process")?.1.split(' ').collect();
            let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
            usage.cpu_s += TICK.as_secs_f64() * ticks as f64;
            let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
            usage.written_bytes += field(&io, "write_bytes:")?;
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            usage.resident_bytes += field(&status, "VmRSS:")? * 1_024;
        }
        let disk = fs::read_to_string(disk_of(folder)?.join("stat"))?;
        let counts: Vec<u64> = disk.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        usage.disk_bytes = counts.get(6).ok_or("the disk counts no writes")? * SECTOR_BYTES;
        usage.disk_flushes = *counts.get(15).ok_or("the disk counts no flushes")?;
        Ok(usage)
    }

    /// What was used since; resident memory as it is now.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            cpu_s: self.cpu_s - before.cpu_s,
            written_bytes: self.written_bytes - before.written_bytes,
            disk_bytes: self.disk_bytes - before.disk_bytes,
            disk_flushes: self.disk_flushes - before.disk_flushes,
            resident_bytes: self.resident_bytes,
        }
    }
}

fn field(text: &str, name: &str) -> Result<u64, Error> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or_else(|| format!("the kernel tells no `{name}`"))?.parse()?)
}

/// The block device that a folder lies on, whole disk or partition, in `/sys`.
fn disk_of(folder: &Path) -> Result<std::path::PathBuf, Error> {
    let device = rustix::fs::stat(folder)?.st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Ok(fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let usage = Usage::now(&[std::process::id()], Path::new("/")).expect("the kernel counts");
        assert!(usage.resident_bytes > 0);
        assert_eq!(usage.since(&usage).disk_flushes, 0);
    }
}
