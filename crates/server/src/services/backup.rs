//! Backup and restore on the wire.

use futures::stream::{self, Stream, StreamExt as _};
use tonic::{Status, Streaming};
use weir_broker::api::backup::{BackupPlan, PartitionImage, PlannedPartition};
use weir_broker::{Broker, EntryPosition, Image};
use weir_proto::v1::backup_partition_response::Part;
use weir_proto::v1::restore_partition_request::Part as RestorePart;
use weir_proto::{error_to_status, v1};
use weir_types::{ErrorKind, GroupId, LogIndex, RequestId, Term, WeirError};

use super::invalid;

pub(super) fn plan(plan: BackupPlan) -> v1::PlanBackupResponse {
    let planned = |partition: PlannedPartition| v1::PlannedPartition {
        group_id: partition.group.0,
        topic: partition.topic,
        partition: partition.index,
        sends_to: partition.sends_to.into_iter().map(|group| group.0).collect(),
    };
    v1::PlanBackupResponse {
        cluster_id: plan.cluster.to_string(),
        registry: plan.registry.into(),
        partitions: plan.partitions.into_iter().map(planned).collect(),
    }
}

/// What the image is, then its bytes, read as the client takes them.
pub(super) async fn image(
    broker: &Broker,
    request: &v1::BackupPartitionRequest,
) -> Result<impl Stream<Item = Result<v1::BackupPartitionResponse, Status>> + Send + use<>, WeirError> {
    let known = (request.known_index > 0)
        .then_some(EntryPosition { term: Term(request.known_term), index: LogIndex(request.known_index) });
    let PartitionImage { position, sends_to, image } =
        broker.partition_image(GroupId(request.group_id), known).await?;
    let head = Part::Head(v1::ImageHead {
        term: position.term.0,
        index: position.index.0,
        known: image.is_none(),
        sends_to: sends_to.into_iter().map(|group| group.0).collect(),
    });
    let bytes = stream::unfold(image.map(|image| Reading { image, length: 0 }), next_part);
    let parts = stream::once(async move { Ok(head) }).chain(bytes);
    Ok(parts.map(|part| part.map(|part| v1::BackupPartitionResponse { part: Some(part) })))
}

/// An image, and how much of it was sent.
struct Reading {
    image: Image,
    length: u64,
}

/// The next bytes, at last that there are no more; a failed read is the last that comes.
async fn next_part(reading: Option<Reading>) -> Option<(Result<Part, Status>, Option<Reading>)> {
    let Reading { mut image, length } = reading?;
    match image.next_chunk().await {
        Ok(Some(chunk)) => {
            let length = length + chunk.len() as u64;
            Some((Ok(Part::Bytes(chunk)), Some(Reading { image, length })))
        }
        Ok(None) => Some((Ok(Part::End(v1::ImageEnd { length })), None)),
        Err(error) => {
            let error = WeirError::new(ErrorKind::Internal, "storage-failed", error.to_string());
            Some((Err(error_to_status(error)), None))
        }
    }
}

pub(super) async fn begin_restore(
    broker: &Broker,
    request: v1::BeginRestoreRequest,
) -> Result<v1::BeginRestoreResponse, Status> {
    if request.restore_id == 0 {
        return Err(invalid("option-invalid", "the restore has no id"));
    }
    let targets = broker.begin_restore(RequestId(request.restore_id), &request.registry).await;
    let targets = targets.map_err(error_to_status)?.into_iter();
    let target = |target: weir_broker::api::restore::RestoreTarget| v1::RestoreTarget {
        group_id: target.group.0,
        client_address: target.address,
    };
    Ok(v1::BeginRestoreResponse { targets: targets.map(target).collect() })
}

pub(super) async fn restore_partition(
    broker: &Broker,
    mut parts: Streaming<v1::RestorePartitionRequest>,
) -> Result<v1::RestorePartitionResponse, Status> {
    let Some(RestorePart::Head(head)) = parts.message().await?.and_then(|first| first.part) else {
        return Err(invalid("option-invalid", "an image has to say first what it is"));
    };
    let position = EntryPosition { term: Term(head.term), index: LogIndex(head.index) };
    let (request, group) = (RequestId(head.restore_id), GroupId(head.group_id));
    let restore = broker.restore_partition(request, group, position).await;
    let mut restore = restore.map_err(error_to_status)?;
    while let Some(part) = parts.message().await? {
        let Some(RestorePart::Bytes(bytes)) = part.part else {
            return Err(invalid("option-invalid", "an image says what it is once, and has no empty parts"));
        };
        restore.chunk(bytes).await.map_err(error_to_status)?;
    }
    let highest_epoch = restore.finish().await.map_err(error_to_status)?;
    Ok(v1::RestorePartitionResponse { highest_epoch })
}
