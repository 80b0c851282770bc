//! Processes of workers, as the conductor sees them: lines on their standard output, an input to close.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::node::terminate;

/// Acks that are told and not yet entered.
const LINES_MAX: usize = 1024;
/// How long workers may take to finish what they have in hand.
const STOP_WITHIN: Duration = Duration::from_mins(1);

/// All worker processes.
pub(super) struct Workers {
    children: Vec<Child>,
    acks: mpsc::Receiver<u64>,
}

impl Workers {
    /// Starts `processes` of them with two workers each, logging below `folder`.
    pub(super) fn start(folder: &Path, seeds: &str, processes: u32) -> Result<Self, String> {
        let (told, acks) = mpsc::channel(LINES_MAX);
        let mut children = Vec::new();
        for index in 1..=processes {
            let mut child = spawn(&folder.join(format!("workers-{index}.log")), seeds)?;
            let output = child.stdout.take().expect("standard output is a pipe");
            tokio::spawn(forward(output, told.clone()));
            children.push(child);
        }
        Ok(Self { children, acks })
    }

    /// The next task whose ack was acknowledged; none when every process has closed its output.
    pub(super) async fn next_ack(&mut self) -> Option<u64> {
        self.acks.recv().await
    }

    /// One that is told already.
    pub(super) fn told_ack(&mut self) -> Option<u64> {
        self.acks.try_recv().ok()
    }

    /// Lets them finish, and gives what they told meanwhile.
    pub(super) async fn stop(mut self) -> Result<Vec<u64>, String> {
        for child in &mut self.children {
            drop(child.stdin.take());
        }
        let mut late = Vec::new();
        let drain = async {
            while let Some(task) = self.acks.recv().await {
                late.push(task);
            }
        };
        let waits = futures::future::join_all(self.children.iter_mut().map(Child::wait));
        let Ok((ends, ())) = tokio::time::timeout(STOP_WITHIN, async { tokio::join!(waits, drain) }).await
        else {
            self.children.iter().for_each(terminate);
            return Err(format!("the workers did not finish within {} s", STOP_WITHIN.as_secs()));
        };
        for end in ends {
            match end {
                Ok(status) if status.success() => {}
                Ok(status) => return Err(format!("a worker process ended with {status}; see its log")),
                Err(error) => return Err(format!("a worker process: {error}")),
            }
        }
        Ok(late)
    }
}

fn spawn(log: &Path, seeds: &str) -> Result<Child, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
    let log = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
    Command::new(program)
        .args(["demo", "work", "--workers", "2", "--seeds", seeds])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("a worker process does not start: {error}"))
}

/// Passes on `acked <task>`; anything else on the output is for people.
async fn forward(output: impl tokio::io::AsyncRead + Unpin, told: mpsc::Sender<u64>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let task = line.strip_prefix("acked ").and_then(|task| task.parse().ok());
        if let Some(task) = task
            && told.send(task).await.is_err()
        {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn acks_are_read_from_the_lines_of_a_worker() {
        let (told, mut acks) = mpsc::channel(8);
        forward(&b"acked 7\nhello\nacked x\nacked 8\n"[..], told).await;
        assert_eq!((acks.recv().await, acks.recv().await, acks.recv().await), (Some(7), Some(8), None));
    }
}
