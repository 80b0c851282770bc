//! What this node answers its peers.

use std::sync::Arc;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};
use weir_runtime::BoxFuture;
use weir_storage::LogRecord;
use weir_types::mutants::{self, Mutant};

use crate::context::Context;
use crate::liveness::{self, Doubt, Way, reaches_majority};
use crate::raft::{Core, Entry, LogId, TypeConfig, Vote, entry_of};
use crate::registry::Registry;
use crate::replica::Replica;
use crate::snapshot;
use crate::transport::{
    Answer, AppendAnswer, AppendCall, Call, Connected, Handler, Identity, LaneKind, Refusal, Target,
    TransferAnswer, TransferCall, VoteAnswer, VoteCall,
};

/// Brings the requests of peers to the replicas they are meant for.
pub(crate) struct Inbound {
    pub(crate) context: Arc<Context>,
    pub(crate) registry: Arc<Registry>,
}

impl Handler for Inbound {
    fn call(&self, _from: Identity, call: Call, payloads: Vec<Bytes>) -> BoxFuture<'static, Answer> {
        let registry = Arc::clone(&self.registry);
        let context = Arc::clone(&self.context);
        Box::pin(async move {
            let answer = match call {
                Call::Ping => Ok(Answer::Pong { wall: context.runtime.clock().wall() }),
                Call::Survey(questions) => Ok(Answer::Survey(liveness::answer(&registry, &questions))),
                Call::Roll(roll) => Ok(Answer::Roll(liveness::answer_roll(&registry, &roll))),
                Call::Append(call) => append(&registry, call, payloads).await,
                Call::Vote(call) => vote(&registry, call).await,
                Call::PreVote(call) => pre_vote(&registry, call).await,
                Call::Transfer(call) => transfer(&registry, call).await,
            };
            answer.unwrap_or_else(|refusal| {
                metrics::counter!("weir_peer_refused_total", "reason" => refusal.name()).increment(1);
                Answer::Refused(refusal)
            })
        })
    }

    fn heard(&self, from: Identity, lane: LaneKind) {
        let way = match lane {
            LaneKind::Control => Way::Control,
            LaneKind::Data | LaneKind::Snapshot => Way::DataIn,
        };
        self.context.pulses.heard(from.node, way);
    }

    fn held(&self, from: Identity) {
        self.context.pulses.held(from.node);
    }

    fn cut(&self, from: Identity, lane: LaneKind) {
        self.context.pulses.cut(from.node, lane);
    }

    fn snapshot(&self, connected: Connected) -> BoxFuture<'static, ()> {
        let (context, registry) = (Arc::clone(&self.context), Arc::clone(&self.registry));
        Box::pin(async move {
            let from = connected.peer.node;
            let find = move |target| registry.find(target);
            let silence = context.pulses.silence(from, LaneKind::Snapshot);
            if let Err(error) = snapshot::receive(find, &context.slots, silence, connected).await {
                tracing::warn!(%from, %error, "snapshot not received");
            }
        })
    }
}

fn running(registry: &Registry, target: Target) -> Result<(Arc<Replica>, Core), Refusal> {
    let replica = registry.find(target)?;
    let core = replica.core().ok_or(Refusal::Stopped)?;
    Ok((replica, core))
}

async fn append(registry: &Registry, call: AppendCall, payloads: Vec<Bytes>) -> Result<Answer, Refusal> {
    let (replica, core) = running(registry, call.target)?;
    if call.vote.committed {
        replica.note_contact(call.vote.term);
    }
    let request = AppendEntriesRequest::<TypeConfig> {
        vote: call.vote.into(),
        prev_log_id: call.previous.map(Into::into),
        leader_commit: call.committed.map(Into::into),
        entries: entries(&call, payloads).ok_or(Refusal::Malformed)?,
    };
    let response = core.raft.append_entries(request).await.map_err(|_| Refusal::Stopped)?;
    Ok(Answer::Append(match response {
        AppendEntriesResponse::Success => AppendAnswer::Success,
        AppendEntriesResponse::PartialSuccess(last) => AppendAnswer::Partial(last.as_ref().map(Into::into)),
        AppendEntriesResponse::Conflict => AppendAnswer::Conflict,
        AppendEntriesResponse::HigherVote(vote) => AppendAnswer::HigherVote((&vote).into()),
    }))
}

/// Entries follow the previous one without a gap, so their indices need not be sent.
fn entries(call: &AppendCall, payloads: Vec<Bytes>) -> Option<Vec<Entry>> {
    let mut index = call.previous.map_or(weir_types::LogIndex(0), |previous| previous.index.next());
    let mut entries = Vec::with_capacity(payloads.len());
    for (head, payload) in call.entries.iter().zip(payloads) {
        let record = LogRecord { index, term: head.term, kind: head.kind, payload };
        entries.push(entry_of(record).ok()?);
        index = index.next();
    }
    Some(entries)
}

async fn vote(registry: &Registry, call: VoteCall) -> Result<Answer, Refusal> {
    let (_, core) = running(registry, call.target)?;
    let response = core.raft.vote(vote_request(&call)).await.map_err(|_| Refusal::Stopped)?;
    Ok(vote_answer(&response))
}

async fn pre_vote(registry: &Registry, call: VoteCall) -> Result<Answer, Refusal> {
    let (replica, core) = running(registry, call.target)?;
    if !call.transfer
        && let Some(vote) = followed(&replica, &core)
    {
        let last_log = core.raft.data_metrics().borrow_watched().last_log.as_ref().map(Into::into);
        return Ok(Answer::Vote(VoteAnswer { vote: (&vote).into(), granted: false, last_log }));
    }
    let response = core.raft.pre_vote(vote_request(&call)).await.map_err(|_| Refusal::Stopped)?;
    Ok(vote_answer(&response))
}

/// The vote of a leader that was heard lately and is not missed. openraft's lease for it is renewed by entries and heartbeats alone, and a quiet
/// group has neither.
fn followed(replica: &Replica, core: &Core) -> Option<Vote> {
    let vote = core.raft.server_metrics().borrow_watched().vote;
    let heard = vote.committed && replica.heard_leader_of(vote.leader_id.term);
    (heard && liveness::missing(replica).is_none()).then_some(vote)
}

fn vote_request(call: &VoteCall) -> VoteRequest<TypeConfig> {
    VoteRequest {
        vote: call.vote.into(),
        last_log_id: match call.last_log {
            _ if mutants::on(Mutant::M25) => Some(LogId::new_term_index(call.vote.term.0, u64::MAX)),
            last => last.map(LogId::from),
        },
        leadership_transfer: call.transfer,
    }
}

fn vote_answer(response: &VoteResponse<TypeConfig>) -> Answer {
    Answer::Vote(VoteAnswer {
        vote: (&response.vote).into(),
        granted: response.vote_granted,
        last_log: response.last_log_id.as_ref().map(Into::into),
    })
}

async fn transfer(registry: &Registry, call: TransferCall) -> Result<Answer, Refusal> {
    let (replica, core) = running(registry, call.target)?;
    if !reaches_majority(&replica, &core, Doubt::Candidate) {
        // It would lead, and be deposed for replicating nothing.
        return Ok(Answer::Transfer(TransferAnswer::Declined));
    }
    // A request that was held up on its way: its leader gave up waiting, and an election would only hurt.
    if core.shared.next_index() > call.last_log.map_or(0, |last| last.index.0 + 1) {
        return Ok(Answer::Transfer(TransferAnswer::Declined));
    }
    let request =
        TransferLeaderRequest::new(Vote::from(call.from), call.to.0, call.last_log.map(LogId::from));
    let response = core.raft.handle_transfer_leader(request).await.map_err(|_| Refusal::Stopped)?;
    Ok(Answer::Transfer(match response {
        Ok(()) => TransferAnswer::Accepted,
        Err(TransferLeaderError::VoteChanged { actual, .. }) => {
            TransferAnswer::VoteChanged { actual: (&actual).into() }
        }
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            TransferAnswer::LogNotFlushed { actual: actual.as_ref().map(Into::into) }
        }
    }))
}
