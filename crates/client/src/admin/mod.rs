//! The operator's calls: topics, cluster, groups, and what a queue holds.

pub(crate) mod convert;
mod groups;
mod queues;
mod topics;
pub(crate) mod types;

use crate::Client;

pub(crate) use groups::offsets_of;
pub(crate) use queues::partition_of;
pub use queues::{MessageRef, ParkedSelection, PeekOptions};

/// The operator's calls. Cheap to clone.
///
/// ```no_run
/// # async fn example(client: weir_client::Client) -> weir_client::Result<()> {
/// use weir_client::NewTopic;
///
/// let admin = client.admin();
/// admin.create_topic(NewTopic::queue("tasks").partitions(3)).await?;
/// for stats in admin.queue_stats("tasks").await? {
///     println!("partition {}: {} ready, {} leased", stats.partition, stats.ready, stats.leased);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

impl Admin {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }
}
