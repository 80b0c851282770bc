//! `weir stream process`: a command per record, and what it writes to another topic.

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use weir_client::{ConsumerOptions, ErrorKind, GroupStart, Outputs, Record, StreamConsumer, StreamRecord};

use crate::cli::Connection;
use crate::cli::exec::{Job, stop_signal};
use crate::failure::{Failure, Outcome};
use crate::output::{Done, Screen, count};

/// What the records of one step write, in bytes: one more record still fits.
const STEP_BYTES_MAX: usize = 2 << 20;

#[derive(Debug, Args)]
#[command(after_help = "\
The command runs in `sh -c`, record by record, with the body on standard input. Its
environment has WEIR_PARTITION, WEIR_OFFSET and WEIR_KEY (when it is text). What it
writes (without the last newline) is appended to the topic of --emit-to under the
record's key, in the step that commits the group's position: whatever is killed, each
record has its output once. A command that writes nothing appends nothing.

A command that ends with another code than 0 ends the processing: the group stays at
that record. SIGINT or SIGTERM: the records at hand are finished; a second one drops them.

Examples:
  weir stream process clicks --group lengths --exec 'wc -c' --emit-to lengths
  weir stream process orders --group bill --exec './invoice' --emit-to mails --batch 1
  weir stream process events --group errors --exec 'grep ERROR || true' --emit-to errors --max 1000")]
pub(in crate::cli) struct Process {
    /// The stream
    stream: String,
    /// The consumer group whose position says what is done
    #[arg(long, short)]
    group: String,
    /// The command
    #[arg(long, short, value_name = "COMMAND")]
    exec: String,
    /// Append what the command writes to this stream or queue
    #[arg(long, value_name = "TOPIC")]
    emit_to: String,
    /// Begin behind the last record where the group has no position yet
    #[arg(long)]
    latest: bool,
    /// Records of one step, at most: more is faster, fewer repeat less after a crash
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    batch: u64,
    /// Stop after so many records
    #[arg(long, short = 'n')]
    max: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Processed {
    records: u64,
    emitted: u64,
    /// Records that went to another member of the group before they were done here.
    lost: u64,
}

impl Process {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let client = self.connection.client().await?;
        // Better now than record by record.
        client.admin().describe_topic(&self.emit_to).await?;
        let start = if self.latest { GroupStart::Latest } else { GroupStart::Earliest };
        let options = ConsumerOptions { start, commit_on_revoke: false, ..ConsumerOptions::default() };
        let mut consumer = client.stream_consumer(&self.group, &[&self.stream], options).await?;
        let mut processed = Processed::default();
        let outcome = self.process(&mut consumer, &mut processed).await;
        let closed = consumer.close().await;
        outcome?;
        closed?;
        let Processed { records, emitted, lost } = processed;
        let text = format!("{} processed, {emitted} emitted, {lost} lost", count(records, "record"));
        screen.show(&Done { text, data: processed })
    }

    async fn process(&self, consumer: &mut StreamConsumer, processed: &mut Processed) -> Outcome {
        let (stop, abandon) = (CancellationToken::new(), CancellationToken::new());
        let _signals = signals(&stop, &abandon).drop_guard();
        while self.max.is_none_or(|max| processed.records < max) {
            let most = self.max.map_or(self.batch, |max| self.batch.min(max - processed.records));
            let batch = stop.run_until_cancelled(consumer.next_batch(most as usize)).await.flatten();
            let mut records = match batch {
                Some(Ok(records)) => records,
                // Of one partition, which is tried on.
                Some(Err(error)) => {
                    eprintln!("{error}");
                    continue;
                }
                None => break,
            };
            while !records.is_empty() {
                let Some(step) = abandon.run_until_cancelled(self.step(&records)).await else {
                    return Ok(());
                };
                let Step { count, emitted, outputs } = step?;
                match consumer.take_step(records[count - 1].offset, outputs, &stop).await {
                    Ok(()) => {
                        processed.records += count as u64;
                        processed.emitted += emitted;
                        records.drain(..count);
                    }
                    Err(error) if error.kind() == ErrorKind::Fenced => {
                        eprintln!("{error}");
                        processed.lost += records.len() as u64;
                        break;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Runs the command for records from the front, until what it wrote is enough for a step.
    async fn step(&self, records: &[StreamRecord]) -> Result<Step, Failure> {
        let (mut step, mut bytes) = (Step::default(), 0);
        for record in records {
            let written = self.job(record).run().await.map_err(|why| failed(record, &why))?;
            step.count += 1;
            if !written.is_empty() {
                bytes += written.len();
                let record = Record { key: record.key.clone(), ..Record::new(written) };
                step.outputs = std::mem::take(&mut step.outputs).append(&self.emit_to, record);
                step.emitted += 1;
            }
            if bytes >= STEP_BYTES_MAX {
                break;
            }
        }
        Ok(step)
    }

    fn job<'a>(&'a self, record: &'a StreamRecord) -> Job<'a> {
        let variables = vec![
            ("WEIR_PARTITION", record.partition.to_string()),
            ("WEIR_OFFSET", record.offset.to_string()),
        ];
        let (input, key) = (record.value.clone(), record.key.as_deref());
        Job { command: &self.exec, input, key, variables, capture: true }
    }
}

/// What becomes of some records.
#[derive(Debug, Default)]
struct Step {
    count: usize,
    emitted: u64,
    outputs: Outputs,
}

/// The first signal stops taking records, the second one what runs. Dropping the guard of the answer ends the watch.
fn signals(stop: &CancellationToken, abandon: &CancellationToken) -> CancellationToken {
    let watching = CancellationToken::new();
    let (stop, abandon, over) = (stop.clone(), abandon.clone(), watching.clone());
    tokio::spawn(over.run_until_cancelled_owned(async move {
        stop_signal().await;
        stop.cancel();
        stop_signal().await;
        abandon.cancel();
    }));
    watching
}

fn failed(record: &StreamRecord, why: &str) -> Failure {
    let text = format!("record {} of partition {}: {why}", record.offset, record.partition);
    Failure::operation("command-failed", text)
        .hint("mend the command and start again: the group stays before the step with this record")
}
