//! `weir stream process`: a command per record, and what it writes to another topic.

use clap::Args;
use serde::Serialize;
use weir_client::{ConsumerOptions, ErrorKind, GroupStart, Outputs, Record, StreamConsumer, StreamRecord};

use crate::cli::Connection;
use crate::cli::exec::{Job, stop_signal};
use crate::failure::{Failure, Outcome};
use crate::output::{Done, Screen, count};

#[derive(Debug, Args)]
#[command(after_help = "\
The command runs in `sh -c`, record by record, with the body on standard input. Its
environment has WEIR_PARTITION, WEIR_OFFSET and WEIR_KEY (when it is text). What it
writes (without the last newline) is appended to the topic of --emit-to under the
record's key, in the step that commits the group's position: whatever is killed, each
record has its output once. A command that writes nothing appends nothing.

A command that ends with another code than 0 ends the processing: the group stays at
that record. SIGINT or SIGTERM: the records at hand are finished.

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
        consumer.close().await?;
        outcome?;
        let Processed { records, emitted, lost } = processed;
        let text = format!("{} processed, {emitted} emitted, {lost} lost", count(records, "record"));
        screen.show(&Done { text, data: processed })
    }

    async fn process(&self, consumer: &mut StreamConsumer, processed: &mut Processed) -> Outcome {
        let mut stop = std::pin::pin!(stop_signal());
        let mut left = self.max.unwrap_or(u64::MAX);
        while left > 0 {
            let batch = tokio::select! {
                () = &mut stop => break,
                batch = consumer.next_batch(self.batch.min(left) as usize) => batch,
            };
            let records = match batch {
                Some(Ok(records)) => records,
                // Of one partition, which is tried on.
                Some(Err(error)) => {
                    eprintln!("{error}");
                    continue;
                }
                None => break,
            };
            let (mut outputs, mut emitted) = (Outputs::new(), 0);
            for record in &records {
                let written = self.job(record).run().await.map_err(|why| failed(record, &why))?;
                if !written.is_empty() {
                    let record = Record { key: record.key.clone(), ..Record::new(written) };
                    outputs = outputs.append(&self.emit_to, record);
                    emitted += 1;
                }
            }
            let count = records.len() as u64;
            left -= count;
            match consumer.commit_and_append(outputs).await {
                Ok(()) => {
                    processed.records += count;
                    processed.emitted += emitted;
                }
                Err(error) if error.kind() == ErrorKind::Fenced => {
                    eprintln!("{error}");
                    processed.lost += count;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
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

fn failed(record: &StreamRecord, why: &str) -> Failure {
    let text = format!("record {} of partition {}: {why}", record.offset, record.partition);
    Failure::operation("command-failed", text)
        .hint("mend the command and start again: the group stays before the step with this record")
}
