//! `weir stream read`.

use clap::Args;
use serde::Serialize;
use weir_client::{
    Client, ConsumerOptions, ErrorKind, GroupStart, ReadUntil, ReaderOptions, StartPosition, StreamConsumer,
    StreamReader, StreamRecord,
};

use crate::cli::Connection;
use crate::cli::value::Place;
use crate::failure::{Failure, Outcome};
use crate::output::{Body, Screen, headers, print_line, time_ms};

#[derive(Debug, Args)]
#[command(after_help = "\
Prints bodies, one per line; --json prints records with offset, time, key and headers.
With --group, reading goes on where the group has committed, and what was printed is committed.

Examples:
  weir stream read events
  weir stream read events --from -5m --follow
  weir stream read events --from 2026-01-31T12:00:00Z --max 100 --json
  weir stream read events --from latest --follow --group billing")]
pub(in crate::cli) struct Read {
    /// The stream
    stream: String,
    /// Where to begin; -5m is five minutes ago; for a group without a position, earliest or latest only
    #[arg(long, value_name = Place::SYNTAX, default_value = "earliest", allow_hyphen_values = true)]
    from: Place,
    /// Go on with records that are appended later
    #[arg(long, short)]
    follow: bool,
    /// Read as a member of this consumer group
    #[arg(long, short)]
    group: Option<String>,
    /// Stop after so many records
    #[arg(long, short = 'n')]
    max: Option<u64>,
    /// Only this partition; may be repeated
    #[arg(long = "partition", conflicts_with = "group")]
    partitions: Vec<u32>,
    #[command(flatten)]
    connection: Connection,
}

/// A record for programs.
#[derive(Debug, Serialize)]
struct RecordView<'a> {
    partition: u32,
    offset: u64,
    time: String,
    key: Option<Body<'a>>,
    value: Option<Body<'a>>,
    headers: Vec<(&'a str, Body<'a>)>,
}

impl Read {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let client = self.connection.client().await?;
        match &self.group {
            None => self.read_alone(&client, screen).await,
            Some(group) => self.read_in_group(&client, group, screen).await,
        }
    }

    async fn read_alone(&self, client: &Client, screen: Screen) -> Outcome {
        let options = ReaderOptions {
            start: match self.from {
                Place::Earliest => StartPosition::Earliest,
                Place::Latest => StartPosition::Latest,
                Place::Offset(offset) => StartPosition::Offset(offset),
                Place::TimeMs(ms) => StartPosition::TimeMs(ms),
                Place::Lag(records) => StartPosition::Lag(records),
            },
            until: if self.follow { ReadUntil::Forever } else { ReadUntil::End },
            partitions: (!self.partitions.is_empty()).then(|| self.partitions.clone()),
            ..ReaderOptions::default()
        };
        let mut reader: StreamReader = client.stream_reader(&self.stream, options).await?;
        let mut left = self.max.unwrap_or(u64::MAX);
        while left > 0 {
            tokio::select! {
                record = reader.next() => match record {
                    None => break,
                    Some(record) => left -= print(record, screen)?,
                },
                _ = tokio::signal::ctrl_c() => break,
            }
        }
        Ok(())
    }

    async fn read_in_group(&self, client: &Client, group: &str, screen: Screen) -> Outcome {
        let start = match self.from {
            Place::Earliest => GroupStart::Earliest,
            Place::Latest => GroupStart::Latest,
            Place::Offset(_) | Place::TimeMs(_) | Place::Lag(_) => {
                return Err(Failure::usage("a group begins at --from earliest or latest").hint(format!(
                    "`weir group reset {group} --topic {} --to PLACE` moves it",
                    self.stream
                )));
            }
        };
        if !self.follow && self.max.is_none() {
            return Err(Failure::usage("reading in a group has no end: say --follow, or --max N"));
        }
        let options = ConsumerOptions { start, ..ConsumerOptions::default() };
        let mut consumer = client.stream_consumer(group, &[&self.stream], options).await?;
        let printed = self.print_group(&mut consumer, screen).await;
        // What was printed is handled, also when the reader of our output went away after it.
        let committed = consumer.commit().await;
        consumer.close().await?;
        printed?;
        Ok(committed?)
    }

    async fn print_group(&self, consumer: &mut StreamConsumer, screen: Screen) -> Outcome {
        let mut left = self.max.unwrap_or(u64::MAX);
        while left > 0 {
            tokio::select! {
                record = consumer.next() => match record {
                    None => break,
                    Some(record) => {
                        left -= print(record, screen)?;
                        consumer.commit_async();
                    }
                },
                _ = tokio::signal::ctrl_c() => break,
            }
        }
        Ok(())
    }
}

/// Prints a record, and gives how many were printed. An error that can pass is said and no more: reading goes on.
fn print(record: weir_client::Result<StreamRecord>, screen: Screen) -> Result<u64, Failure> {
    let record = match record {
        Ok(record) => record,
        Err(error) if can_pass(&error) => {
            eprintln!("{error}");
            return Ok(0);
        }
        Err(error) => return Err(error.into()),
    };
    if screen.is_json() {
        let view = RecordView {
            partition: record.partition,
            offset: record.offset,
            time: time_ms(record.timestamp_ms),
            key: record.key.as_deref().map(Body),
            value: record.value.as_deref().map(Body),
            headers: headers(&record.headers),
        };
        print_line(&serde_json::to_vec(&view).expect("records have string keys"))?;
    } else {
        print_line(record.value.as_deref().unwrap_or_default())?;
    }
    Ok(1)
}

fn can_pass(error: &weir_client::Error) -> bool {
    let kinds = [ErrorKind::Retry, ErrorKind::Redirect, ErrorKind::Throttled, ErrorKind::OutcomeUnknown];
    kinds.contains(&error.kind()) || error.code() == "offset-out-of-range"
}
