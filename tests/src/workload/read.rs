//! Readers without a group.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_client::{Client, ReadUntil, ReaderOptions};

use super::{STREAM, payload};
use crate::history::Reader;
use crate::{History, Op, within};

/// How long the stream may take to be read once more.
const REREAD: Duration = Duration::from_mins(2);

/// Reads from the beginning on, across everything that happens, until it is told to stop.
pub(super) async fn follow(client: Client, history: Arc<History>, stop: CancellationToken) {
    let mut reader = client.stream_reader(STREAM, ReaderOptions::default()).await.expect("a reader opens");
    loop {
        let from = history.now();
        let record = tokio::select! {
            () = stop.cancelled() => return,
            record = reader.next() => record.expect("it reads for ever"),
        };
        match record {
            Ok(record) => history.note(
                from,
                Op::Read {
                    reader: Reader::Follower,
                    partition: record.partition,
                    offset: record.offset,
                    value: payload::value(record.value.as_ref()),
                },
            ),
            Err(error) => {
                history.note(from, Op::Trouble { who: "the follower".to_owned(), error: error.to_string() });
            }
        }
    }
}

/// Reads the whole stream once.
///
/// # Panics
/// When a partition cannot be read.
pub(super) async fn to_the_end(client: &Client, history: &History) {
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    within("the whole stream is read once more", REREAD, async {
        let mut reader = client.stream_reader(STREAM, options).await.expect("a reader opens");
        loop {
            let from = history.now();
            let Some(record) = reader.next().await else { return };
            let record = record.expect("everything is readable once all is calm");
            let value = payload::value(record.value.as_ref());
            let (partition, offset) = (record.partition, record.offset);
            history.note(from, Op::Read { reader: Reader::Last, partition, offset, value });
        }
    })
    .await;
}
