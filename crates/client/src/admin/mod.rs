//! The operator's calls: topics, cluster, groups, and what a queue holds.

mod backup;
pub(crate) mod convert;
mod digest;
mod explain;
mod groups;
mod links;
mod nodes;
mod parked;
mod queues;
mod replay;
mod reshape;
mod topics;
pub(crate) mod types;

use crate::Client;

pub use backup::{BackupPlan, ImagePosition, ImageReader, PlannedPartition, Restore, RestoreTarget};
pub use digest::{NodeDigest, ReplicaDigest};
pub use explain::{Explanation, Hold, Holder, Whereabouts};
pub(crate) use groups::{offsets_of, wait_for_outputs};
pub use parked::{ParkedReason, ParkedSelection};
pub(crate) use queues::partition_of;
pub use queues::{MessageRef, PeekOptions};
pub use replay::ReplayRange;

/// The operator's calls. Cheap to clone.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> weir_client::Result<()> {
/// # let Ok(seeds) = std::env::var("WEIR_SEEDS") else { return Ok(()) };
/// use weir_client::NewTopic;
///
/// # let client = weir_client::Client::connect(seeds).await?;
/// let admin = client.admin();
/// # let _ = admin.delete_topic("thumbnails").await;
/// admin.create_topic(NewTopic::queue("thumbnails").partitions(3)).await?;
/// for stats in admin.queue_stats("thumbnails").await? {
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
