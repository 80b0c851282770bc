//! The way in.

use std::sync::Arc;

use weir_runtime::TaskGroup;

use crate::call::Core;
use crate::options::ClientOptions;
use crate::routing::keep_watch;
use crate::{
    Admin, ConsumerOptions, Error, Producer, ProducerOptions, QueueWorker, ReaderOptions, Result,
    StreamConsumer, StreamReader, WorkerOptions,
};

/// A client of one cluster: it knows who leads what, and holds one connection per node. Cheap to clone; what is made
/// from it keeps it alive. The last one that is dropped ends its tasks.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> weir_client::Result<()> {
/// use weir_client::{Client, NewTopic, ProducerOptions, Record};
///
/// let seeds = "127.0.0.1:7400"; // where `weir dev` listens
/// # let Ok(seeds) = std::env::var("WEIR_SEEDS") else { return Ok(()) };
/// let client = Client::connect(seeds).await?;
/// # let _ = client.admin().delete_topic("payments").await;
/// client.admin().create_topic(NewTopic::stream("payments")).await?;
/// let producer = client.producer("payments", ProducerOptions::default()).await?;
/// let delivery = producer.send(Record::new("paid").key("order-17")).await?.await?;
/// println!("partition {}, offset {}", delivery.partition, delivery.offset);
/// # assert_eq!((delivery.partition, delivery.offset), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) core: Arc<Core>,
    _watch: Arc<TaskGroup>,
}

impl Client {
    /// Finds the cluster through its seeds, and learns who leads what.
    ///
    /// # Errors
    /// [`Error::Option`] for seeds that are no addresses; [`Error::NoSeedReachable`] when no node answered within
    /// `request_timeout`.
    pub async fn connect(options: impl Into<ClientOptions>) -> Result<Self> {
        let options = options.into();
        options.validate()?;
        let waited = options.request_timeout;
        let core = Arc::new(Core::new(options));
        let mut tables = core.router.watch();
        let mut watch = TaskGroup::new();
        watch.spawn(keep_watch(Arc::clone(&core)));
        if tokio::time::timeout(waited, tables.wait_for(|table| table.known)).await.is_err() {
            let seeds = core.options.seeds.join(", ");
            return Err(Error::NoSeedReachable { seeds, waited, last: core.why_unreachable() });
        }
        Ok(Self { core, _watch: Arc::new(watch) })
    }

    /// The operator's calls.
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// A producer for a stream or a queue.
    pub async fn producer(&self, topic: &str, options: ProducerOptions) -> Result<Producer> {
        Producer::open(self.clone(), topic, options).await
    }

    /// A reader of a stream, without a group.
    pub async fn stream_reader(&self, topic: &str, options: ReaderOptions) -> Result<StreamReader> {
        StreamReader::open(self.clone(), topic, options).await
    }

    /// A member of a consumer group that reads these streams.
    pub async fn stream_consumer(
        &self,
        group: &str,
        topics: &[&str],
        options: ConsumerOptions,
    ) -> Result<StreamConsumer> {
        StreamConsumer::join(self.clone(), group, topics, options).await
    }

    /// A worker of a queue.
    pub async fn queue_worker(&self, topic: &str, options: WorkerOptions) -> Result<QueueWorker> {
        QueueWorker::open(self.clone(), topic, options).await
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("seeds", &self.core.options.seeds).finish_non_exhaustive()
    }
}
