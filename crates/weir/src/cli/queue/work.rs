//! `weir queue work`: a command per message.

use std::time::Duration;

use clap::Args;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde::Serialize;
use weir_client::{LeasedMessage, Message, Record, WorkerOptions};

use crate::cli::exec::{Job, stop_signal};
use crate::cli::{Connection, value};
use crate::failure::Outcome;
use crate::output::{Done, Screen, count};

#[derive(Debug, Args)]
#[command(after_help = "\
The command runs in `sh -c`, with the body on standard input. Its environment has
WEIR_MESSAGE_ID, WEIR_PARTITION, WEIR_ATTEMPT, WEIR_KEY (when it is text), and
WEIR_LEASE_ID, a fencing token: it rises with every delivery.
Exit code 0 acks the message, anything else nacks it. With --emit-to, what the
command wrote to standard output (without the last newline) is appended to that
topic in the same step, under the message's key: both happen, once, or neither.
A command that wrote nothing appends nothing. While the command runs, its
lease is extended; when the lease is lost all the same, the command is killed.
SIGINT or SIGTERM: no more messages are taken, running commands finish; a second
one ends them, too.

Examples:
  weir queue work tasks --exec 'wc -c'
  weir queue work mails --exec './send-mail \"$WEIR_KEY\"' --concurrency 8
  weir queue work tasks --exec 'wc -w' --emit-to results
  weir queue work tasks --exec 'cat' --max 10")]
pub(in crate::cli) struct Work {
    /// The queue
    queue: String,
    /// The command
    #[arg(long, short, value_name = "COMMAND")]
    exec: String,
    /// Append what the command writes to this stream or queue, in the step that acks
    #[arg(long, value_name = "TOPIC")]
    emit_to: Option<String>,
    /// Commands at once
    #[arg(long, short, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    concurrency: u32,
    /// Stop after so many messages
    #[arg(long, short = 'n')]
    max: Option<u64>,
    /// How long a lease runs before it is extended [default: the queue's setting]
    #[arg(long, value_name = "SPAN", value_parser = value::span)]
    lease: Option<Duration>,
    /// Shown to operators
    #[arg(long, default_value = "weir queue work")]
    name: String,
    #[command(flatten)]
    connection: Connection,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Worked {
    acked: u64,
    nacked: u64,
    /// The lease went to another consumer, or its settle has no answer.
    lost: u64,
}

/// How one message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Acked,
    Nacked,
    Lost,
}

impl Worked {
    fn text(self) -> String {
        format!("{} acked, {} nacked, {} lost", count(self.acked, "message"), self.nacked, self.lost)
    }

    fn enter(&mut self, end: End) {
        match end {
            End::Acked => self.acked += 1,
            End::Nacked => self.nacked += 1,
            End::Lost => self.lost += 1,
        }
    }
}

impl Work {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let options = WorkerOptions {
            // One message waits while one runs, so that no command waits for the network.
            credit: (2 * self.concurrency).min(1024),
            lease: self.lease,
            consumer_name: self.name.clone(),
            ..WorkerOptions::default()
        };
        let client = self.connection.client().await?;
        if let Some(topic) = &self.emit_to {
            // Better now than message by message.
            client.admin().describe_topic(topic).await?;
        }
        let mut worker = client.queue_worker(&self.queue, options).await?;
        let (mut taken, mut worked) = (0, Worked::default());
        let mut running = FuturesUnordered::new();
        let mut stop = std::pin::pin!(stop_signal());
        while self.max.is_none_or(|max| taken < max) {
            tokio::select! {
                () = &mut stop => break,
                Some(end) = running.next() => worked.enter(end),
                message = worker.next(), if running.len() < self.concurrency as usize => match message {
                    Some(Ok(message)) => {
                        taken += 1;
                        running.push(handle(&self.exec, self.emit_to.as_deref(), message));
                    }
                    // Of one partition, which is tried on.
                    Some(Err(error)) => eprintln!("{error}"),
                    None => break,
                },
            }
        }
        finish(running, &mut worked).await;
        worker.close().await?;
        if screen.is_json() {
            return screen.show(&Done { text: String::new(), data: worked });
        }
        // Standard output belongs to the commands.
        eprintln!("{}", worked.text());
        Ok(())
    }
}

/// Lets running commands finish. A second signal drops them, which kills the commands and nacks their messages.
async fn finish(mut running: FuturesUnordered<impl Future<Output = End>>, worked: &mut Worked) {
    let mut again = std::pin::pin!(stop_signal());
    loop {
        tokio::select! {
            end = running.next() => match end {
                Some(end) => worked.enter(end),
                None => return,
            },
            () = &mut again => {
                worked.nacked += running.len() as u64;
                return;
            }
        }
    }
}

/// Runs the command for one message, and settles it.
async fn handle(command: &str, emit_to: Option<&str>, message: Message) -> End {
    let cancelled = message.cancellation();
    let job = job(command, &message, emit_to.is_some());
    let ended = tokio::select! {
        ended = job.run() => ended,
        // Dropping the command kills it: another consumer may have the message now.
        () = cancelled.cancelled() => {
            eprintln!("message {}/{}: the lease is lost, the command was killed", message.partition, message.message_id);
            return End::Lost;
        }
    };
    let name = format!("message {}/{}", message.partition, message.message_id);
    let (end, settled) = match ended {
        Ok(output) => (End::Acked, finish_message(message, emit_to, output).await),
        Err(why) => {
            eprintln!("{name}: {why}");
            (End::Nacked, message.nack(why).await)
        }
    };
    match settled {
        Ok(()) => end,
        Err(error) => {
            eprintln!("{name}: {error}");
            End::Lost
        }
    }
}

/// Acks the message, together with what came out of it.
async fn finish_message(message: Message, emit_to: Option<&str>, output: Vec<u8>) -> weir_client::Result<()> {
    let Some(topic) = emit_to.filter(|_| !output.is_empty()) else { return message.ack().await };
    let key = message.key.clone();
    message.ack_and_append(topic, [Record { key, ..Record::new(output) }]).await
}

/// The command for one message.
fn job<'a>(command: &'a str, message: &'a LeasedMessage, capture: bool) -> Job<'a> {
    let variables = vec![
        ("WEIR_MESSAGE_ID", message.message_id.to_string()),
        ("WEIR_PARTITION", message.partition.to_string()),
        ("WEIR_ATTEMPT", message.attempt.to_string()),
        ("WEIR_LEASE_ID", message.lease_id.to_string()),
    ];
    Job { command, input: message.value.clone(), key: message.key.as_deref(), variables, capture }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[tokio::test]
    async fn a_command_gets_the_body_and_what_names_the_message() {
        let message = LeasedMessage {
            token: "v1.7.42.1001".parse().unwrap(),
            partition: 2,
            message_id: 42,
            lease_id: 1001,
            attempt: 3,
            lease: Duration::from_secs(30),
            timestamp_ms: 0,
            key: Some(b"k".as_slice().into()),
            value: Some(b"body".as_slice().into()),
            headers: Vec::new(),
        };
        let check = r#"test "$(cat)" = body && test "$WEIR_KEY:$WEIR_MESSAGE_ID:$WEIR_ATTEMPT" = k:42:3 &&
            test "$WEIR_PARTITION:$WEIR_LEASE_ID" = 2:1001"#;
        assert_eq!(job(check, &message, false).run().await, Ok(Vec::new()));
    }
}
