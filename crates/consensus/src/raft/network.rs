//! openraft's network, on the lanes between nodes.

use std::sync::Arc;

use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend};
use weir_types::{NodeId, ReplicaId};

use super::{Entry, Member, Shared, TypeConfig, Vote, record_of};
use crate::snapshot::{SnapshotHandle, SnapshotSlots, send};
use crate::transport::{
    Answer, AppendAnswer, AppendCall, Call, EntryHead, LaneKind, Peers, Target, TransferAnswer, TransferCall,
    VoteAnswer, VoteCall,
};

type RpcError = RPCError<TypeConfig>;
type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotHandle>;

/// Makes clients to the replicas of one group.
pub(crate) struct PeerNetworkFactory {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) slots: Arc<SnapshotSlots>,
}

/// A client to one replica. All clients of a node pair share its lanes.
pub(crate) struct PeerNetwork {
    shared: Arc<Shared>,
    peers: Arc<Peers>,
    slots: Arc<SnapshotSlots>,
    replica: ReplicaId,
    node: NodeId,
    appends: LaneKind,
}

impl PeerNetworkFactory {
    fn client(&self, replica: u64, member: Member, appends: LaneKind) -> PeerNetwork {
        PeerNetwork {
            shared: Arc::clone(&self.shared),
            peers: Arc::clone(&self.peers),
            slots: Arc::clone(&self.slots),
            replica: ReplicaId(replica),
            node: member.node,
            appends,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for PeerNetworkFactory {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: u64, node: &Member) -> PeerNetwork {
        self.client(target, *node, LaneKind::Data)
    }

    /// Heartbeats must not wait behind a megabyte of entries.
    async fn new_heartbeat_client(&mut self, target: u64, node: &Member) -> PeerNetwork {
        self.client(target, *node, LaneKind::Control)
    }
}

impl PeerNetwork {
    fn target(&self) -> Target {
        Target { group: self.shared.group, replica: self.replica }
    }

    async fn control(&self, call: Call) -> Result<Answer, RpcError> {
        self.peers
            .call(self.node, LaneKind::Control, call, Vec::new())
            .await
            .map_err(|error| unreachable(&error))
    }
}

impl RaftNetworkV2<TypeConfig> for PeerNetwork {
    type SnapshotData = SnapshotHandle;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let (entries, payloads) = request.entries.into_iter().map(head_and_payload).unzip();
        let call = Call::Append(AppendCall {
            target: self.target(),
            vote: (&request.vote).into(),
            previous: request.prev_log_id.as_ref().map(Into::into),
            committed: request.leader_commit.as_ref().map(Into::into),
            entries,
        });
        let answer = self.peers.call(self.node, self.appends, call, payloads).await;
        match answer.map_err(|error| unreachable(&error))? {
            Answer::Append(AppendAnswer::Success) => Ok(AppendEntriesResponse::Success),
            Answer::Append(AppendAnswer::Partial(last)) => {
                Ok(AppendEntriesResponse::PartialSuccess(last.map(Into::into)))
            }
            Answer::Append(AppendAnswer::Conflict) => Ok(AppendEntriesResponse::Conflict),
            Answer::Append(AppendAnswer::HigherVote(vote)) => {
                Ok(AppendEntriesResponse::HigherVote(vote.into()))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        vote_response(self.control(Call::Vote(vote_call(self.target(), &request))).await?)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        vote_response(self.control(Call::PreVote(vote_call(self.target(), &request))).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        debug_assert!(matches!(snapshot.snapshot, SnapshotHandle::Own));
        let sending = async {
            let _slot = self.slots.sending.acquire().await.expect("the semaphore is never closed");
            send(&self.shared, &self.peers, self.node, self.target(), &vote).await
        };
        tokio::select! {
            closed = cancel => Err(closed.into()),
            // Installing may take minutes, so its timeout is long; a node that vanished must not keep the place.
            () = self.peers.silence(self.node) => Err(Unreachable::new(&AnyError::error("the node is silent")).into()),
            sent = sending => match sent {
                Ok(vote) => Ok(SnapshotResponse::new(vote.into())),
                Err(error) => {
                    tracing::warn!(group = %self.shared.group, node = %self.node, %error, "snapshot not sent");
                    Err(Unreachable::new(&AnyError::new(&error)).into())
                }
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let call = Call::Transfer(TransferCall {
            target: self.target(),
            from: request.from_leader().into(),
            to: ReplicaId(*request.to_node_id()),
            last_log: request.last_log_id().map(Into::into),
        });
        match self.control(call).await? {
            Answer::Transfer(TransferAnswer::Accepted) => Ok(Ok(())),
            Answer::Transfer(TransferAnswer::VoteChanged { actual }) => {
                let expected = *request.from_leader();
                Ok(Err(TransferLeaderError::VoteChanged { expected, actual: actual.into() }))
            }
            Answer::Transfer(TransferAnswer::LogNotFlushed { actual }) => {
                let expected = request.last_log_id().copied();
                Ok(Err(TransferLeaderError::LogNotFlushed { expected, actual: actual.map(Into::into) }))
            }
            other => Err(unexpected(&other)),
        }
    }
}

fn head_and_payload(entry: Entry) -> (EntryHead, bytes::Bytes) {
    let record = record_of(entry);
    let length = record.payload.len() as u32;
    (EntryHead { term: record.term, kind: record.kind, length }, record.payload)
}

fn vote_call(target: Target, request: &VoteRequest<TypeConfig>) -> VoteCall {
    VoteCall {
        target,
        vote: (&request.vote).into(),
        last_log: request.last_log_id.as_ref().map(Into::into),
        transfer: request.leadership_transfer,
    }
}

fn vote_response(answer: Answer) -> Result<VoteResponse<TypeConfig>, RpcError> {
    match answer {
        Answer::Vote(VoteAnswer { vote, granted, last_log }) => {
            Ok(VoteResponse::new(Vote::from(vote), last_log.map(Into::into), granted))
        }
        other => Err(unexpected(&other)),
    }
}

fn unreachable(error: &crate::transport::Unreachable) -> RpcError {
    RPCError::Unreachable(Unreachable::new(&AnyError::new(error)))
}

/// Refusals too are "unreachable": openraft backs off and tries again.
fn unexpected(answer: &Answer) -> RpcError {
    match answer {
        Answer::Refused(refusal) => {
            RPCError::Unreachable(Unreachable::new(&AnyError::error(format!("refused: {}", refusal.name()))))
        }
        other => {
            RPCError::Network(NetworkError::from_string(format!("an answer to another question: {other:?}")))
        }
    }
}
