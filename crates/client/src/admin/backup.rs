//! Images of partitions, out of one cluster and into another.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tonic::Streaming;
use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;
use weir_proto::v1::backup_partition_response::Part;
use weir_proto::v1::restore_partition_request::Part as RestorePart;
use weir_types::{ErrorKind, GroupId};

use super::Admin;
use crate::Result;
use crate::call::{ANSWER_BYTES_MAX, Failure};
use crate::error::Error;
use crate::routing::Target;

/// How long the next part of an image may take.
const PART_WITHIN: Duration = Duration::from_secs(30);

/// What a backup of a cluster consists of.
#[derive(Clone, Debug)]
pub struct BackupPlan {
    /// The cluster's id.
    pub cluster_id: String,
    /// What a restore needs of the registry, to be kept as it is.
    pub registry: Bytes,
    /// The partitions, in order of group.
    pub partitions: Vec<PlannedPartition>,
}

/// A partition that is to be backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPartition {
    /// Its Raft group.
    pub group_id: u32,
    /// Its topic.
    pub topic: String,
    /// Its number in the topic.
    pub partition: u32,
    /// The groups that links lead to from here: their images have to be younger than this one's.
    pub sends_to: Vec<u32>,
}

/// The last entry that is in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImagePosition {
    /// Its term.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

/// An image that is being read.
#[derive(Debug)]
pub struct ImageReader {
    /// The last entry in it.
    pub position: ImagePosition,
    /// The caller has an image of this position: no bytes come.
    pub known: bool,
    /// The groups that something was ever sent to from here: their images have to be younger than this one's.
    pub sends_to: Vec<u32>,
    parts: Streaming<v1::BackupPartitionResponse>,
    length: u64,
}

/// Where the image of a partition is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreTarget {
    /// The partition's group.
    pub group_id: u32,
    /// Client address of the node that takes it in.
    pub client_address: String,
}

/// A restore that was begun.
#[derive(Clone, Debug)]
pub struct Restore {
    /// What the other calls name it by.
    pub id: u64,
    /// Where the images are to go: one for each partition.
    pub targets: Vec<RestoreTarget>,
}

impl Admin {
    /// What a backup of the cluster consists of, as of this moment.
    pub async fn plan_backup(&self) -> Result<BackupPlan> {
        let core = &self.client.core;
        let answer = core
            .call(core.operation(Target::Any, "plan a backup"), |channel| async move {
                let mut client = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
                client.plan_backup(v1::PlanBackupRequest {}).await
            })
            .await?;
        let planned = |partition: v1::PlannedPartition| PlannedPartition {
            group_id: partition.group_id,
            topic: partition.topic,
            partition: partition.partition,
            sends_to: partition.sends_to,
        };
        Ok(BackupPlan {
            cluster_id: answer.cluster_id,
            registry: answer.registry,
            partitions: answer.partitions.into_iter().map(planned).collect(),
        })
    }

    /// Opens the image of a partition, which holds everything that was acknowledged before the call. With `known`, the
    /// position of an image that the caller has, it has no bytes if it would be the same.
    ///
    /// # Errors
    /// `NotFound` when the partition is not there (any more).
    pub async fn backup_partition(&self, group_id: u32, known: Option<ImagePosition>) -> Result<ImageReader> {
        let core = &self.client.core;
        let (known_term, known_index) = known.map_or((0, 0), |at| (at.term, at.index));
        let request = v1::BackupPartitionRequest { group_id, known_term, known_index };
        let call = core.operation(Target::Leader(GroupId(group_id)), format!("back up partition {group_id}"));
        let mut parts = core
            .call(call, |channel| async move {
                let mut client = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
                client.backup_partition(request).await
            })
            .await?;
        match next(&mut parts).await? {
            Some(Part::Head(head)) => Ok(ImageReader {
                position: ImagePosition { term: head.term, index: head.index },
                known: head.known,
                sends_to: head.sends_to,
                parts,
                length: 0,
            }),
            _ => Err(incomplete()),
        }
    }

    /// Takes in the topics of a backup, seen by nobody, into a cluster that is new. Gives up a restore that is under way.
    ///
    /// # Errors
    /// `AlreadyExists` when the cluster has topics, or has had any; `Invalid` when it has too few nodes; `Corrupt` when
    /// `registry` is no description of one.
    pub async fn begin_restore(&self, registry: Bytes) -> Result<Restore> {
        let core = &self.client.core;
        let id = core.random_id();
        let request = v1::BeginRestoreRequest { restore_id: id, registry };
        let answer = core
            .call(core.operation(Target::Any, "begin a restore"), |channel| {
                let request = request.clone();
                async move {
                    let mut client = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
                    client.begin_restore(request).await
                }
            })
            .await?;
        let target = |target: v1::RestoreTarget| RestoreTarget {
            group_id: target.group_id,
            client_address: target.client_address,
        };
        Ok(Restore { id, targets: answer.targets.into_iter().map(target).collect() })
    }

    /// Brings a partition its image, once: after a failure the image has to come again. Returns when a majority of the
    /// partition's nodes has all of it: the highest epoch of a consumer group in it.
    ///
    /// # Errors
    /// `NotFound` when that restore is not under way (any more); `Corrupt` when the bytes are not what was backed up.
    pub async fn restore_partition(
        &self,
        restore_id: u64,
        target: &RestoreTarget,
        position: ImagePosition,
        image: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<u64> {
        let channel = self.client.core.pool.channel(&target.client_address).map_err(Error::Broker)?;
        let ImagePosition { term, index } = position;
        let head = v1::RestoreHead { restore_id, group_id: target.group_id, term, index };
        let parts = futures::stream::iter([RestorePart::Head(head)]).chain(image.map(RestorePart::Bytes));
        let requests = parts.map(|part| v1::RestorePartitionRequest { part: Some(part) });
        match AdminClient::new(channel).restore_partition(requests).await {
            Ok(answer) => Ok(answer.into_inner().highest_epoch),
            Err(status) => Err(Error::Broker(Failure::from_status(&status).error)),
        }
    }

    /// Shows the topics of a restore, when all their partitions have their images; `highest_epoch` is the highest of those
    /// that [`restore_partition`](Self::restore_partition) told.
    ///
    /// # Errors
    /// `Retry` when a partition has none yet.
    pub async fn finish_restore(&self, restore_id: u64, highest_epoch: u64) -> Result<()> {
        let core = &self.client.core;
        let request = v1::FinishRestoreRequest { restore_id, highest_epoch };
        let call = core.operation(Target::Any, "finish a restore");
        core.call(call, |channel| async move { AdminClient::new(channel).finish_restore(request).await })
            .await
            .map(|_| ())
    }

    /// Removes everything of a restore that is under way.
    ///
    /// # Errors
    /// `NotFound` when it is not.
    pub async fn abandon_restore(&self, restore_id: u64) -> Result<()> {
        let core = &self.client.core;
        let request = v1::AbandonRestoreRequest { restore_id };
        let call = core.operation(Target::Any, "give a restore up");
        core.call(call, |channel| async move { AdminClient::new(channel).abandon_restore(request).await })
            .await
            .map(|_| ())
    }
}

impl ImageReader {
    /// The next bytes, at most 512 KiB; none at the end.
    ///
    /// # Errors
    /// When the node is gone, or does not go on: begin anew.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        match next(&mut self.parts).await? {
            Some(Part::Bytes(bytes)) => {
                self.length += bytes.len() as u64;
                Ok(Some(bytes))
            }
            Some(Part::End(end)) if end.length == self.length => Ok(None),
            // A node that stops ends the stream in good order.
            Some(Part::Head(_) | Part::End(_)) | None => Err(incomplete()),
        }
    }
}

async fn next(parts: &mut Streaming<v1::BackupPartitionResponse>) -> Result<Option<Part>> {
    match tokio::time::timeout(PART_WITHIN, parts.message()).await {
        Ok(Ok(Some(answer))) => answer.part.map(Some).ok_or_else(incomplete),
        Ok(Ok(None)) => Ok(None),
        Ok(Err(status)) => Err(Error::Broker(Failure::from_status(&status).error)),
        Err(_) => {
            let text = format!("the next part of the image did not come within {} s", PART_WITHIN.as_secs());
            Err(Error::new(ErrorKind::Retry, "no-answer", text))
        }
    }
}

fn incomplete() -> Error {
    Error::new(ErrorKind::Retry, "answer-incomplete", "the image did not come as it should")
}
