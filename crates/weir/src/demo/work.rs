//! A process of workers: each leases tasks, counts, and acks them together with their results, in one step.

use std::io::{self, Write as _};
use std::path::Path;

use clap::Args;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_client::{Client, Message, Record, WorkerOptions};

use super::message::{Event, Task, decode, encode};
use super::wc::{Counts, WordRule};
use super::{QUEUE, STREAM};
use crate::cli::{Connection, standard_input};
use crate::failure::{Failure, Outcome};

/// Tasks that one worker does at once: while one waits for its ack to be on disk, others are counted.
const AT_ONCE: usize = 4;

/// One process of workers: count files, ack and append the events, until standard input closes
#[derive(Debug, Args)]
pub(crate) struct Work {
    /// How many workers
    #[arg(long, default_value_t = 2)]
    workers: u32,
    #[command(flatten)]
    connection: Connection,
}

impl Work {
    pub(super) async fn run(self) -> Outcome {
        let rule = WordRule::of_this_machine().await.map_err(|why| Failure::operation("wc", why))?;
        let client = self.connection.client().await?;
        let stop = CancellationToken::new();
        let mut workers = JoinSet::new();
        for index in 1..=self.workers {
            let name = format!("{}/{index}", std::process::id());
            let worker = Worker { client: client.clone(), rule, stop: stop.clone() };
            workers.spawn(worker.run(name));
        }
        // The conductor holds the other end: it closes it to stop us, and when it dies it is closed too.
        let mut input = standard_input()?;
        tokio::select! {
            _ = input.read_u8() => {}
            Some(ended) = workers.join_next() => ended.map_err(|error| Failure::operation("worker", error))??,
        }
        stop.cancel();
        while let Some(ended) = workers.join_next().await {
            ended.map_err(|error| Failure::operation("worker", error))??;
        }
        Ok(())
    }
}

struct Worker {
    client: Client,
    rule: WordRule,
    stop: CancellationToken,
}

impl Worker {
    async fn run(self, name: String) -> Outcome {
        let options = WorkerOptions { consumer_name: name, ..WorkerOptions::default() };
        let mut queue = self.client.queue_worker(QUEUE, options).await?;
        let mut busy = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(()) = busy.next() => {}
                message = queue.next(), if busy.len() < AT_ONCE => match message {
                    Some(Ok(message)) => busy.push(self.handle(message)),
                    // Of one partition, which is tried on.
                    Some(Err(error)) => eprintln!("worker: {error}"),
                    None => break,
                },
            }
        }
        while busy.next().await.is_some() {}
        drop(busy);
        queue.close().await?;
        Ok(())
    }

    /// Does one task. What fails goes back to the queue.
    async fn handle(&self, message: Message) {
        let outcome = match decode(message.value.as_ref()) {
            Ok(Task::Count { task, path }) => self.counts_of(&path).await.map(|counts| Some((task, counts))),
            Ok(Task::Probe) => Ok(None),
            Err(why) => Err(why),
        };
        let settled = match outcome {
            Ok(Some((task, counts))) => finish(message, task, counts).await.map(|()| Some(task)),
            Ok(None) => message.ack().await.map(|()| None),
            Err(why) => {
                eprintln!("worker: {why}");
                message.nack(why).await.map(|()| None)
            }
        };
        match settled {
            Ok(Some(task)) => acked(task),
            Ok(None) => {}
            // The message comes again, or somebody else has it: the queue's business.
            Err(error) => eprintln!("worker: {error}"),
        }
    }

    async fn counts_of(&self, path: &Path) -> Result<Counts, String> {
        let text = tokio::fs::read(path).await.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(self.rule.count(&text))
    }
}

/// The task is done and its event is in the stream, both or neither: whatever is killed now, no event is repeated.
async fn finish(message: Message, task: u64, counts: Counts) -> weir_client::Result<()> {
    let event = Record::new(encode(&Event::Counted { task, counts })).key(task.to_string());
    message.ack_and_append(STREAM, [event]).await
}

/// Tells the conductor, one line per acknowledged ack. It may be gone; then there is nobody to tell.
fn acked(task: u64) {
    let _ = writeln!(io::stdout().lock(), "acked {task}");
}
