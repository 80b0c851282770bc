//! One `weir server` as a child process.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::{binary, eventually, ports, within};

/// How long a node may take to hand over and end.
const STOP: Duration = Duration::from_secs(20);
/// How long a node may take until it has its place.
const READY: Duration = Duration::from_mins(1);
/// How much of a log goes into a failure.
const LOG_LINES: usize = 40;

/// Where a node listens on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// gRPC.
    pub client: u16,
    /// Replication.
    pub peer: u16,
    /// Metrics and health.
    pub http: u16,
}

impl Ports {
    /// Three that are free.
    pub fn free() -> Self {
        let found = ports::free(3);
        Self { client: found[0], peer: found[1], http: found[2] }
    }

    /// Where clients reach it.
    pub fn client_address(self) -> String {
        format!("127.0.0.1:{}", self.client)
    }

    /// The three as socket addresses: client, peer, HTTP.
    pub fn all(self) -> [SocketAddr; 3] {
        [self.client, self.peer, self.http].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }
}

/// A node: its configuration, data and log in a folder of its own, and its process while it runs. The process is
/// killed when this is dropped; during a failure the end of its log is printed then.
pub struct Node {
    name: String,
    ports: Ports,
    data: PathBuf,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// Writes a node's configuration below `home`: its name is the folder's. `sections` are further lines of it.
    ///
    /// # Panics
    /// When the file system refuses.
    pub fn prepare(home: &Path, ports: Ports, seeds: &[String], expect: u32, sections: &str) -> Self {
        Self::prepare_with_data(home, &home.join("data"), ports, seeds, expect, sections)
    }

    /// As [`prepare`](Self::prepare), with the data somewhere else.
    ///
    /// # Panics
    /// When the file system refuses.
    pub fn prepare_with_data(
        home: &Path,
        data: &Path,
        ports: Ports,
        seeds: &[String],
        expect: u32,
        sections: &str,
    ) -> Self {
        fs::create_dir_all(home).expect("the home of a node can be made");
        let name = home.file_name().expect("a home has a name").to_string_lossy().into_owned();
        let mut text = String::new();
        let _ = write!(
            text,
            "[node]\nname = {name:?}\ndata_dir = \"{}\"\n\n\
             [cluster]\nseeds = {seeds:?}\nbootstrap_expect = {expect}\n\n\
             [listen]\nclient = \"127.0.0.1:{}\"\npeer = \"127.0.0.1:{}\"\nhttp = \"127.0.0.1:{}\"\n\n\
             [log]\nlevel = {:?}\n\n{sections}",
            data.display(),
            ports.client,
            ports.peer,
            ports.http,
            std::env::var("WEIR_TEST_LOG").unwrap_or_else(|_| "info".to_owned()),
        );
        let config = home.join("weir.toml");
        fs::write(&config, text).expect("a configuration can be written");
        Self { name, ports, data: data.to_owned(), config, log: home.join("log"), child: None }
    }

    /// As it appears in the cluster's status.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Where its data lie.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Starts the process.
    ///
    /// # Panics
    /// When it runs already, or cannot be started.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a log can be opened");
        let errors = log.try_clone().expect("a file can be opened twice");
        let mut command = Command::new(binary());
        command.arg("server").arg("--config").arg(&self.config);
        // A node takes its settings from variables, too: those of the shell that runs the tests are not meant.
        std::env::vars().filter(|(name, _)| name.starts_with("WEIR_")).for_each(|(name, _)| {
            command.env_remove(name);
        });
        command.env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(log).stderr(errors).kill_on_drop(true);
        self.child = Some(command.spawn().expect("the binary starts"));
    }

    /// Whether a process was started and has not been waited for.
    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Checks that the process has not ended by itself.
    ///
    /// # Panics
    /// When it has.
    #[track_caller]
    pub fn check(&mut self) {
        let Some(child) = &mut self.child else { return };
        if let Some(status) = child.try_wait().expect("a child can be looked at") {
            panic!("{} ended by itself: {status}", self.name);
        }
    }

    /// SIGKILL, and the process is gone.
    ///
    /// # Panics
    /// When it had ended by itself before.
    pub async fn kill(&mut self) {
        self.check();
        let Some(mut child) = self.child.take() else { return };
        child.kill().await.expect("a child can be killed");
    }

    /// SIGTERM, and waits for the end of the process.
    ///
    /// # Panics
    /// When it had ended before, takes too long, or ends with a failure.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.ended(STOP).await;
        assert!(status.success(), "{} stopped with {status}", self.name);
    }

    /// Waits until the process ends by itself.
    ///
    /// # Panics
    /// When it does not within `bound`.
    pub async fn ended(&mut self, bound: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("the node was started");
        let what = format!("{} ends", self.name);
        let status = tokio::time::timeout(bound, child.wait()).await;
        if status.is_err() {
            self.child = Some(child);
        }
        status
            .unwrap_or_else(|_| panic!("not within {} s: {what}", bound.as_secs()))
            .expect("a child can be waited for")
    }

    /// Stops the process in its tracks.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused process go on.
    pub fn go_on(&mut self) {
        self.signal(Signal::CONT);
    }

    fn signal(&mut self, signal: Signal) {
        self.check();
        let pid =
            self.child.as_ref().and_then(Child::id).and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        kill_process(pid.expect("the node runs"), signal).expect("a child can be sent a signal");
    }

    /// Waits until the node has its place in a cluster whose registry is led.
    ///
    /// # Panics
    /// When it takes too long, or the process ends.
    pub async fn ready(&mut self) {
        let what = format!("{} is ready", self.name);
        eventually(&what, READY, async || {
            self.check();
            match self.page("/readyz").await {
                Ok((200, _)) => Ok(()),
                Ok((status, body)) => Err(format!("{status}: {}", body.trim())),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// One page of the HTTP port: status and body.
    ///
    /// # Errors
    /// When the port does not answer.
    ///
    /// # Panics
    /// When an answer does not end within five seconds.
    pub async fn page(&self, path: &str) -> std::io::Result<(u16, String)> {
        let ask = async {
            let mut stream = TcpStream::connect(self.ports.all()[2]).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
            Ok((status, body.to_owned()))
        };
        within(&format!("{path} of {}", self.name), Duration::from_secs(5), ask).await
    }

    /// A counter or gauge of `/metrics`, added up over its labels; 0 when it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let (_, page) = self.page("/metrics").await.unwrap_or_default();
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        page.lines().filter(of_name).filter_map(value).sum()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("---- end of the log of {} ----", self.name);
            for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
                eprintln!("{line}");
            }
        }
    }
}
