//! Getting a producer's id from the cluster, and another one after a gap.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;
use weir_proto::v1::stream_client::StreamClient;
use weir_types::{GroupId, ProducerEpoch, ProducerId};

use super::flight::Stamp;
use crate::Result;
use crate::call::{Call, Core};
use crate::routing::Target;

/// The stamp that the lanes of one producer share.
pub(crate) struct Stamps {
    core: Arc<Core>,
    /// Empty for an anonymous producer.
    name: String,
    current: Mutex<Option<Stamp>>,
}

impl Stamps {
    pub(crate) fn new(core: Arc<Core>, name: Option<String>) -> Self {
        Self { core, name: name.unwrap_or_default(), current: Mutex::default() }
    }

    /// A stamp other than `used`. One that another lane has got already will do: no batch of the caller's partition went
    /// under it.
    pub(crate) async fn other_than(&self, used: Option<Stamp>, timeout: Duration) -> Result<Stamp> {
        let mut current = self.current.lock().await;
        if let Some(stamp) = current.filter(|stamp| Some(*stamp) != used) {
            return Ok(stamp);
        }
        let request = v1::InitProducerRequest { name: self.name.clone(), request_id: self.core.random_id() };
        let call = Call { timeout, ..self.core.operation(Target::Any, "register the producer") };
        let answer = self
            .core
            .call(call, |channel| {
                let request = request.clone();
                async move { AdminClient::new(channel).init_producer(request).await }
            })
            .await?;
        let stamp = Stamp { id: ProducerId(answer.producer_id), epoch: ProducerEpoch(answer.epoch) };
        *current = Some(stamp);
        Ok(stamp)
    }

    /// Shuts producers of older stamps out of a partition.
    pub(crate) async fn fence(&self, group: GroupId, timeout: Duration) -> Result<()> {
        let stamp = self.other_than(None, timeout).await?;
        let request =
            v1::FenceProducerRequest { group_id: group.0, producer_id: stamp.id.0, epoch: stamp.epoch.0 };
        let call = self.core.operation(Target::Leader(group), "shut older producers out");
        let answer = self.core.call(Call { timeout, ..call }, |channel| async move {
            StreamClient::new(channel).fence_producer(request).await
        });
        answer.await.map(|_| ())
    }
}
