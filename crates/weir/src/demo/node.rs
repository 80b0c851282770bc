//! A node as a process of its own: started, killed, started again, stopped, always by its own id.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

/// How long a node may take to hand over and end before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(15);
/// How much of a node's log goes into an error.
const LOG_LINES: usize = 5;

/// Where a node listens, on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodePorts {
    pub(super) client: u16,
    pub(super) peer: u16,
    pub(super) http: u16,
}

/// One `weir server`.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    ports: NodePorts,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// Writes the configuration of node `index` of those that listen at `all`. Its data, configuration and log lie
    /// in a folder of its own below `folder`.
    pub(super) fn prepare(folder: &Path, index: usize, all: &[NodePorts]) -> Result<Self, String> {
        let name = format!("node-{}", index + 1);
        let home = folder.join(&name);
        fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
        let config = home.join("weir.toml");
        fs::write(&config, configuration(&name, &home.join("data"), index, all))
            .map_err(|error| format!("{}: {error}", config.display()))?;
        Ok(Self { name, ports: all[index], config, log: home.join("log"), child: None })
    }

    /// As it appears in the cluster's status.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where clients reach it.
    pub(super) fn client_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.client)
    }

    /// Starts the process. It is killed when this value is dropped.
    pub(super) fn start(&mut self) -> Result<(), String> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(|error| format!("{}: {error}", self.log.display()))?;
        let errors = log.try_clone().map_err(|error| format!("{}: {error}", self.log.display()))?;
        let program = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
        let child = Command::new(program)
            .arg("server")
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", self.name))?;
        self.child = Some(child);
        Ok(())
    }

    /// An error when the process has ended by itself, with the end of its log.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let Some(child) = &mut self.child else { return Ok(()) };
        match child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended by itself ({status}): {}", self.name, self.log_end())),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    /// SIGKILL, and waits until the process is gone.
    pub(super) async fn kill(&mut self) -> Result<(), String> {
        self.check()?;
        let Some(mut child) = self.child.take() else { return Err(format!("{} does not run", self.name)) };
        child.kill().await.map_err(|error| format!("{}: {error}", self.name))
    }

    /// SIGTERM, then SIGKILL when it takes too long; an error when it was already gone.
    pub(super) async fn stop(&mut self) -> Result<(), String> {
        let running = self.check();
        let Some(mut child) = self.child.take() else { return running };
        terminate(&child);
        if tokio::time::timeout(STOP_WITHIN, child.wait()).await.is_err() {
            child.kill().await.map_err(|error| format!("{}: {error}", self.name))?;
            return Err(format!("{} did not stop within {} s", self.name, STOP_WITHIN.as_secs()));
        }
        running
    }

    fn log_end(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        if lines.is_empty() {
            return "its log is empty".to_owned();
        }
        lines[lines.len().saturating_sub(LOG_LINES)..].join(" | ")
    }
}

/// Asks a process to end. One that is gone already needs no asking.
pub(super) fn terminate(child: &Child) {
    let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(pid) = pid {
        // It may have ended between the two lines; its id is not given away before we have waited for it.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

fn configuration(name: &str, data: &Path, index: usize, all: &[NodePorts]) -> String {
    let seeds: Vec<String> = all.iter().map(|ports| format!("\"127.0.0.1:{}\"", ports.client)).collect();
    let NodePorts { client, peer, http } = all[index];
    let mut text = String::new();
    let data = data.display().to_string();
    // Debug of a string is a TOML basic string for every path that a person would choose.
    let _ = write!(
        text,
        "[node]\nname = \"{name}\"\ndata_dir = {data:?}\n\n\
         [cluster]\nseeds = [{}]\nbootstrap_expect = {}\n\n\
         [listen]\nclient = \"127.0.0.1:{client}\"\npeer = \"127.0.0.1:{peer}\"\nhttp = \"127.0.0.1:{http}\"\n",
        seeds.join(", "),
        all.len(),
    );
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn three() -> [NodePorts; 3] {
        [0, 1, 2].map(|i| NodePorts { client: 100 + i, peer: 200 + i, http: 300 + i })
    }

    #[test]
    fn nodes_name_the_same_seeds_and_their_own_folder() {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::prepare(folder.path(), 1, &three()).unwrap();
        assert_eq!((node.name(), node.client_address().as_str()), ("node-2", "127.0.0.1:101"));
        let text = fs::read_to_string(folder.path().join("node-2/weir.toml")).unwrap();
        assert!(text.contains(r#"seeds = ["127.0.0.1:100", "127.0.0.1:101", "127.0.0.1:102"]"#), "{text}");
        assert!(text.contains("bootstrap_expect = 3\n") && text.contains("/node-2/data\"\n"), "{text}");
        assert!(text.contains("http = \"127.0.0.1:301\"\n"), "{text}");
    }

    #[tokio::test]
    async fn a_node_that_ended_by_itself_is_noticed_with_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut node = Node::prepare(folder.path(), 0, &three()).unwrap();
        assert!(node.kill().await.is_err(), "it was never started");
        fs::write(&node.log, "one\n\nerror: port in use\n").unwrap();
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().await.unwrap();
        node.child = Some(child);
        let error = node.check().unwrap_err();
        assert!(
            error.contains("node-1 ended by itself") && error.ends_with("one | error: port in use"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_stopped_node_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut node = Node::prepare(folder.path(), 0, &three()).unwrap();
        let child = Command::new("sleep").arg("60").kill_on_drop(true).spawn().unwrap();
        node.child = Some(child);
        assert_eq!(node.check(), Ok(()));
        assert_eq!(node.stop().await, Ok(()));
        assert!(node.child.is_none());
    }
}
