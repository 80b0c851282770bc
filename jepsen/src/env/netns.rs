//! Network namespaces: each a host of its own, reached only through the link emulator.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::error::{Result, Tried as _};
use super::ledger::{Ledger, Made};
use super::{kernel, tool};

/// Large packets spare the emulator work.
const PACKET_BYTES_MAX: u32 = 9_000;
const INTERFACE: &str = "net0";

/// A network namespace with one interface beside loopback.
pub(crate) struct Namespace {
    name: String,
    file: File,
}

impl Namespace {
    /// Makes one with an address. What is returned beside it carries its packets.
    pub(crate) fn make(ledger: &Ledger, name: String, address: Ipv4Addr) -> Result<(Self, OwnedFd)> {
        ledger.add(&Made::Namespace(name.clone()))?;
        tool::run("ip", ["netns", "add", &name])?;
        let path = path(&name);
        let file = File::open(&path).at("opening", &path)?;
        let namespace = Self { name, file };
        let tun = namespace
            .within(|| kernel::open_tun(INTERFACE))
            .and_then(|tun| tun.tried(|| "a TUN interface".to_owned()))?;
        let commands = format!(
            "link set lo up\naddr add {address}/24 dev {INTERFACE}\n\
             link set {INTERFACE} mtu {PACKET_BYTES_MAX} txqueuelen 4096 up\n"
        );
        tool::run_with_input("ip", &["-n", &namespace.name, "-batch", "-"], &commands)?;
        Ok((namespace, tun))
    }

    /// Moves the calling thread into it, for good.
    pub(crate) fn enter(&self) -> Result<()> {
        let entered = move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network));
        entered.tried(|| format!("entering the network namespace {}", self.name))
    }

    /// Does something on a thread inside it.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| self.enter().map(|()| work()));
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// Processes inside a namespace; none when there is no such namespace.
pub(crate) fn processes(name: &str) -> Vec<i32> {
    if !path(name).exists() {
        return Vec::new();
    }
    let own = std::process::id().cast_signed();
    let listed = tool::run("ip", ["netns", "pids", name]).unwrap_or_default();
    listed.lines().filter_map(|line| line.trim().parse().ok()).filter(|pid| *pid != own).collect()
}

/// Deletes a namespace; none of that name is well, too.
pub(crate) fn delete(name: &str) -> Result<()> {
    if !path(name).exists() {
        return Ok(());
    }
    tool::run("ip", ["netns", "delete", name]).map(drop)
}
