//! What every node's replicas hold, to be compared.

use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;

use super::Admin;
use super::types::NodeInfo;
use crate::Result;
use crate::call::{ANSWER_BYTES_MAX, Failure};
use crate::error::Error;

/// What one node's replicas hold.
#[derive(Clone, Debug)]
pub struct NodeDigest {
    /// The node.
    pub node: NodeInfo,
    /// Its replicas in order of group; an error when it did not answer.
    pub replicas: Result<Vec<ReplicaDigest>>,
}

/// The replicated state of one replica. Two replicas of a partition with the same applied index have the same hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaDigest {
    /// Name of its topic; empty for the cluster's own groups.
    pub topic: String,
    /// Its number in the topic.
    pub partition: u32,
    /// Its Raft group.
    pub group_id: u32,
    /// The replica.
    pub replica_id: u64,
    /// Term of the last applied entry.
    pub term: u64,
    /// Index of the last applied entry.
    pub applied: u64,
    /// Over everything that is replicated: 32 hex digits.
    pub hash: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of keys and values of those rows.
    pub bytes: u64,
}

impl Admin {
    /// What the replicas of every node hold, of one topic or of all groups. Every node is asked itself; each may take as
    /// long as one request.
    ///
    /// # Errors
    /// When no node tells who else there is. A node that does not answer is an error of its own in the answer.
    pub async fn digests(&self, topic: Option<&str>) -> Result<Vec<NodeDigest>> {
        let status = self.cluster_status().await?;
        let digests = status.nodes.into_iter().map(async |node| {
            let replicas = self.digest_of(&node.client_address, topic).await;
            NodeDigest { node, replicas }
        });
        Ok(futures::future::join_all(digests).await)
    }

    async fn digest_of(&self, address: &str, topic: Option<&str>) -> Result<Vec<ReplicaDigest>> {
        let core = &self.client.core;
        let request = v1::DigestRequest { topic: topic.unwrap_or_default().to_owned(), messages: false };
        let channel = core.pool.channel(address).map_err(Error::Broker)?;
        let mut client = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let asked = tokio::time::timeout(core.options.request_timeout, client.digest(request)).await;
        let answer = match asked {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Err(Error::Broker(Failure::from_status(&status).error)),
            Err(_) => return Err(Error::Broker(Failure::no_answer(address).error)),
        };
        Ok(answer.replicas.into_iter().map(replica).collect())
    }
}

fn replica(digest: v1::ReplicaDigest) -> ReplicaDigest {
    ReplicaDigest {
        topic: digest.topic,
        partition: digest.partition,
        group_id: digest.group_id,
        replica_id: digest.replica_id,
        term: digest.term,
        applied: digest.applied,
        hash: digest.hash,
        rows: digest.rows,
        bytes: digest.bytes,
    }
}
