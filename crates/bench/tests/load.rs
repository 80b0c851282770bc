//! What a load sends, on a system that keeps all messages in memory.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};
use weir_bench::load::{self, Observer};
use weir_bench::plan::Plan;
use weir_bench::system::{Consumer, Error, Publisher, System};

/// A log that one consumer reads.
struct Memory {
    log: mpsc::UnboundedSender<Bytes>,
    unread: Arc<Mutex<mpsc::UnboundedReceiver<Bytes>>>,
}

struct Writer(mpsc::UnboundedSender<Bytes>);

struct Reader(Arc<Mutex<mpsc::UnboundedReceiver<Bytes>>>);

impl System for Memory {
    type Publisher = Writer;
    type Consumer = Reader;

    fn consumers_min(&self) -> u32 {
        1
    }

    async fn publisher(&self, _place: u32) -> Result<Writer, Error> {
        Ok(Writer(self.log.clone()))
    }

    async fn consumer(&self, _place: u32, _of: u32) -> Result<Reader, Error> {
        Ok(Reader(Arc::clone(&self.unread)))
    }
}

impl Publisher for Writer {
    type Confirm = Ready<Result<(), Error>>;

    async fn publish(&mut self, body: Bytes) -> Result<Self::Confirm, Error> {
        self.0.send(body)?;
        Ok(ready(Ok(())))
    }

    async fn close(self) {}
}

impl Consumer for Reader {
    type Ack = Ready<Result<(), Error>>;

    async fn next(&mut self) -> Result<(Bytes, Self::Ack), Error> {
        let body = self.0.lock().await.recv().await.ok_or("nobody writes")?;
        Ok((body, ready(Ok(()))))
    }

    async fn close(self) {}
}

struct Nobody;

impl Observer for Nobody {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_constant_rate_sends_what_its_schedule_has_and_no_more() {
    let (log, unread) = mpsc::unbounded_channel();
    let memory = Memory { log, unread: Arc::new(Mutex::new(unread)) };
    let plan = Plan {
        size: 64,
        publishers: 3,
        consumers: 1,
        in_flight: 4_096,
        rate: Some(100.0),
        warm_up: Duration::from_millis(300),
        duration: Duration::from_millis(700),
        patience: Duration::from_secs(5),
    };
    let report = load::run(Arc::new(memory), &plan, 7, Arc::new(Nobody)).await.unwrap();
    let balance = report.balance;
    assert_eq!((balance.lost, balance.doubled, report.published.errors), (0, 0, 0));
    // What is still waiting when the time is up is not sent any more.
    assert_eq!(balance.confirmed + report.unsent, 100);
    assert!(balance.confirmed > 0, "{balance:?}");
}
