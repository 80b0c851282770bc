//! Weir as a broker to be measured: by its client library, with the defaults of the library unless told otherwise.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use weir_client::{
    Client, ClientOptions, Codec, PendingDelivery, Producer, ProducerOptions, QueueWorker, ReaderOptions,
    StreamReader, WorkerOptions,
};

use crate::system::{Consumer, Error, Publisher, System};

/// Where a topic is, and how records get there.
#[derive(Clone, Debug)]
pub struct Topic {
    /// How to reach the cluster.
    pub options: ClientOptions,
    /// The topic's name.
    pub name: String,
    /// Its partitions.
    pub partitions: u32,
    /// How batches are compressed.
    pub codec: Codec,
    /// Messages leased by a worker and not settled, at most per partition; none: the library's default.
    pub credit: Option<u32>,
}

/// A queue of Weir.
#[derive(Clone, Debug)]
pub struct Queue(pub Topic);

/// A stream of Weir.
#[derive(Clone, Debug)]
pub struct Stream(pub Topic);

/// A producer of one partition.
pub struct WeirPublisher {
    producer: Producer,
    partition: u32,
}

/// The answer to a record.
pub struct Confirm(pub(crate) PendingDelivery);

/// A worker of a queue.
pub struct Worker(QueueWorker);

/// A reader of a stream.
pub struct Reader(StreamReader);

impl Topic {
    async fn publisher(&self, place: u32) -> Result<WeirPublisher, Error> {
        let client = Client::connect(self.options.clone()).await?;
        let options = ProducerOptions { codec: self.codec, ..ProducerOptions::default() };
        let producer = client.producer(&self.name, options).await?;
        Ok(WeirPublisher { producer, partition: place % self.partitions })
    }
}

impl System for Queue {
    type Publisher = WeirPublisher;
    type Consumer = Worker;

    fn consumers_min(&self) -> u32 {
        1
    }

    async fn publisher(&self, place: u32) -> Result<WeirPublisher, Error> {
        self.0.publisher(place).await
    }

    async fn consumer(&self, _: u32, _: u32) -> Result<Worker, Error> {
        let client = Client::connect(self.0.options.clone()).await?;
        let defaults = WorkerOptions::default();
        let options = WorkerOptions { credit: self.0.credit.unwrap_or(defaults.credit), ..defaults };
        Ok(Worker(client.queue_worker(&self.0.name, options).await?))
    }
}

impl System for Stream {
    type Publisher = WeirPublisher;
    type Consumer = Reader;

    fn consumers_min(&self) -> u32 {
        1
    }

    async fn publisher(&self, place: u32) -> Result<WeirPublisher, Error> {
        self.0.publisher(place).await
    }

    async fn consumer(&self, place: u32, of: u32) -> Result<Reader, Error> {
        let client = Client::connect(self.0.options.clone()).await?;
        let mine = (0..self.0.partitions).filter(|partition| partition % of == place).collect();
        let options = ReaderOptions { partitions: Some(mine), ..ReaderOptions::default() };
        Ok(Reader(client.stream_reader(&self.0.name, options).await?))
    }
}

impl Publisher for WeirPublisher {
    type Confirm = Confirm;

    async fn publish(&mut self, body: Bytes) -> Result<Confirm, Error> {
        let record = weir_client::Record::new(body);
        Ok(Confirm(self.producer.send_to(self.partition, record).await?))
    }

    async fn close(self) {
        self.producer.close().await;
    }
}

impl Future for Confirm {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.map(|_| ()).map_err(Error::from))
    }
}

impl Consumer for Worker {
    type Ack = BoxFuture<'static, Result<(), Error>>;

    async fn next(&mut self) -> Result<(Bytes, Self::Ack), Error> {
        let message = self.0.next().await.ok_or("the worker has ended")??;
        let body = message.value.clone().unwrap_or_default();
        Ok((body, Box::pin(async { Ok(message.ack().await?) })))
    }

    async fn close(self) {
        // What it still held comes back to nobody: the run is over.
        drop(self.0);
    }
}

impl Consumer for Reader {
    type Ack = Ready<Result<(), Error>>;

    async fn next(&mut self) -> Result<(Bytes, Self::Ack), Error> {
        let record = self.0.next().await.ok_or("the reader has ended")??;
        Ok((record.value.unwrap_or_default(), ready(Ok(()))))
    }

    async fn close(self) {}
}
