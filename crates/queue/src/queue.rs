//! The machine itself: its parts, and the order of things inside an entry.

use serde::{Deserialize, Serialize};
use weir_types::mutants::{self, Mutant};
use weir_types::outbox::Outbox;
use weir_types::{At, Corrupt, Deadlines, LeaseClock, LeaseId, MessageId, Output, QueuePolicy, Row};

use crate::backlog::Backlog;
use crate::command::Command;
use crate::dedup::DedupIds;
use crate::inbox::Inbox;
use crate::lineage::Lineage;
use crate::outbox;
use crate::output::{Effect, Rejection, Reply};
use crate::producers::Producers;
use crate::replays::Replays;
use crate::requests::Requests;
use crate::rows::Kind;
use crate::sessions::Sessions;
use crate::table::{Single, Table};
use crate::turns::Turns;

/// One partition of a queue.
///
/// Inside an entry the clocks advance, then its commands run in order, then what is due fires (at most
/// `TIMERS_PER_ENTRY_MAX`; the rest is due at once, see [`next_deadlines`](Self::next_deadlines)). So an ack
/// that arrives together with its own expiry wins.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    pub(crate) header: Single<Header>,
    pub(crate) policy: Single<QueuePolicy>,
    pub(crate) backlog: Backlog,
    pub(crate) turns: Turns,
    pub(crate) sessions: Sessions,
    pub(crate) producers: Producers,
    pub(crate) dedup: DedupIds,
    pub(crate) requests: Requests,
    pub(crate) replays: Replays,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    pub(crate) lineage: Lineage,
}

/// Clocks and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The last applied entry.
    pub(crate) at: At,
    /// The next message to arrive.
    pub(crate) next_message: MessageId,
    /// The last lease granted, or the base.
    pub(crate) last_lease: LeaseId,
    /// Messages ever acked.
    pub(crate) acked: u64,
    /// Deliveries ever made of messages that had been tried before.
    pub(crate) redelivered: u64,
}

/// What a leaf of `apply` may read while it changes the backlog.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) at: At,
    pub(crate) policy: &'a QueuePolicy,
}

impl Queue {
    /// An empty partition. Its leases are numbered above `lease_id_base`, which lies over every lease that the
    /// partition's predecessors gave. Nothing is stored until the first entry. Of a policy's `attempts_max` and
    /// limits of leases 0 counts as 1: a queue that hands out nothing is no queue.
    pub fn new(policy: QueuePolicy, lease_id_base: LeaseId) -> Self {
        let header = Header {
            at: At::default(),
            next_message: MessageId(0),
            last_lease: lease_id_base,
            acked: 0,
            redelivered: 0,
        };
        let policy = usable(policy);
        Self {
            header: Single::new(header),
            backlog: Backlog::new(&policy),
            policy: Single::new(policy),
            turns: Turns::default(),
            sessions: Sessions::default(),
            producers: Producers::default(),
            dedup: DedupIds::default(),
            requests: Requests::default(),
            replays: Replays::default(),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            lineage: Lineage::default(),
        }
    }

    /// Rebuilds a partition from its rows, in any order; a partition without rows is a [new](Self::new) one.
    pub fn restore(rows: impl Iterator<Item = Row>) -> Result<Self, Corrupt> {
        let (mut header, mut policy) = (Table::default(), Table::default());
        let (mut spans, mut messages) = (Table::default(), Table::default());
        let (mut sessions, mut producers, mut batches) =
            (Table::default(), Table::default(), Table::default());
        let (mut dedup, mut requests) = (Table::default(), Table::default());
        let (mut kept, mut replays, mut turns) = (Table::default(), Table::default(), Table::default());
        let (mut outbox, mut sources) = (Outbox::default(), Table::default());
        let mut lineage = Lineage::default();
        for row in rows {
            let (kind, name) = Kind::of_key(&row.key)?;
            match kind {
                Kind::Header => header.load(name, &row.value)?,
                Kind::Policy => policy.load(name, &row.value)?,
                Kind::Turn if mutants::on(Mutant::M34) => {}
                Kind::Turn => turns.load(name, &row.value)?,
                Kind::Span => spans.load(name, &row.value)?,
                Kind::Message => messages.load(name, &row.value)?,
                Kind::Session => sessions.load(name, &row.value)?,
                Kind::Producer | Kind::ProducerBatch if mutants::on(Mutant::M07) => {}
                Kind::Producer => producers.load(name, &row.value)?,
                Kind::ProducerBatch => batches.load(name, &row.value)?,
                Kind::DedupId => dedup.load(name, &row.value)?,
                Kind::Request => requests.load(name, &row.value)?,
                Kind::Kept => kept.load(name, &row.value)?,
                Kind::Replay => replays.load(name, &row.value)?,
                Kind::Destination => outbox.restore(outbox::destination(name, &row.value)?)?,
                Kind::OutboxBatch => outbox.restore(outbox::batch(name, &row.value)?)?,
                Kind::Source => sources.load(name, &row.value)?,
                Kind::Sealed | Kind::Awaited | Kind::Heard | Kind::Drained => {
                    lineage.load(kind, name, &row.value)?;
                }
            }
        }
        let (mut header, policy): (Single<Header>, _) = (Single::loaded(&header)?, Single::loaded(&policy)?);
        if mutants::on(Mutant::M12) {
            header.set(Header { last_lease: LeaseId(0), ..*header.get() });
        }
        crate::invariants::check_stored(&header, &spans, &messages)?;
        crate::invariants::check_kept(&header, &kept)?;
        outbox.check_restored()?;
        let mut restored = Self {
            header,
            backlog: Backlog::restored(policy.get(), &lineage, spans, messages, kept),
            policy,
            turns: Turns::restored(turns)?,
            sessions: Sessions::restored(sessions),
            producers: Producers::restored(producers, batches),
            dedup: DedupIds::restored(dedup),
            requests: Requests::restored(requests),
            replays: Replays::restored(replays),
            outbox,
            inbox: Inbox::restored(sources),
            lineage,
        };
        if mutants::on(Mutant::M11) {
            let later = At { lease_clock: LeaseClock(u64::MAX), ..restored.header.get().at };
            let mut all = usize::MAX;
            restored.expire_leases(later, &mut all);
        }
        Ok(restored)
    }

    /// Applies an entry with one command. An entry with several goes through [`apply_entry`](Self::apply_entry),
    /// so that its timers fire after all of them.
    ///
    /// A [`Rejection`] is a normal answer; `Corrupt` stops the replica.
    pub fn apply(
        &mut self,
        at: At,
        command: Command,
        out: &mut Output<Effect>,
    ) -> Result<Result<Reply, Rejection>, Corrupt> {
        let mut answers = self.apply_entry(at, [command], out)?;
        assert_eq!(answers.len(), 1, "one command has one answer");
        Ok(answers.remove(0))
    }

    /// Applies an entry: one answer per command, in order.
    pub fn apply_entry(
        &mut self,
        at: At,
        commands: impl IntoIterator<Item = Command>,
        out: &mut Output<Effect>,
    ) -> Result<Vec<Result<Reply, Rejection>>, Corrupt> {
        self.advance(at)?;
        let mut grown = false;
        let mut answers = Vec::new();
        for command in commands {
            let before = self.leasable();
            answers.push(self.run(at, command));
            grown |= before < self.leasable();
        }
        grown |= self.fire_due(at);
        self.note_drained();
        self.flush(out);
        let count = self.leasable();
        if grown && count > 0 {
            out.effects.push(Effect::Ready { count });
        }
        Ok(answers)
    }

    /// When a tick is due on each clock, if nothing else is proposed before.
    pub fn next_deadlines(&self) -> Deadlines {
        let index = &self.backlog.index;
        let lease = index.leases.first_deadline().map(|(time, _)| time);
        let delay = index.delays.first().map(|(time, _)| time);
        let expiry = index.expiries.first().map(|(time, _)| time);
        let kept = self.backlog.kept.next_due(self.header.get().at.wall_clock, self.policy.get());
        Deadlines {
            lease: lease.into_iter().chain(self.sessions.first_timer()).min(),
            wall: delay.into_iter().chain(expiry).chain(kept).min(),
        }
    }

    fn run(&mut self, at: At, command: Command) -> Result<Reply, Rejection> {
        match command {
            Command::Enqueue(batch) => self.enqueue(at, &batch, &[]),
            Command::EnqueueShared { batch, tenants } => self.enqueue(at, &batch, &tenants),
            Command::Lease(request) => self.lease(at, &request),
            Command::Settle(settle) => self.settle(at, settle),
            Command::OpenSession { session } => self.sessions.open(session).map(|()| Reply::Done),
            Command::KeepSession { session } => self.sessions.keep(session).map(|()| Reply::Done),
            Command::CloseSession { session, ending } => {
                self.sessions.close(at.lease_clock, session, ending);
                Ok(Reply::Done)
            }
            Command::Redrive { select, max } => self.redrive(at, select, max),
            Command::Discard { select, max } => self.discard(select, max),
            Command::CancelScheduled { message } => self.cancel_scheduled(message),
            Command::Purge { before, max } => Ok(self.purge(before, max)),
            Command::SetPolicy { policy } => self.set_policy(policy),
            Command::Tick => Ok(Reply::Done),
            Command::AckAndAppend(step) => self.ack_and_append(at, &step),
            Command::ConfirmTransfer { destination, through } => {
                let known = self.outbox.confirm(destination, through);
                known.then_some(Reply::Done).ok_or(Rejection::Invalid("more has arrived than was ever sent"))
            }
            Command::AcceptTransfer(transfer) => self.accept_transfer(at, &transfer, &[]),
            Command::AcceptTransferShared { transfer, tenants } => {
                self.accept_transfer(at, &transfer, &tenants)
            }
            Command::Move(step) => self.move_on(at, &step),
            Command::RaiseLeases => Ok(self.raise_leases()),
            Command::Replay(step) => self.replay(at, &step, &[]),
            Command::ReplayShared { step, tenants } => self.replay(at, &step, &tenants),
            Command::Relocate(step) => self.relocate(at, &step),
            Command::Seal => Ok(self.seal(at)),
            Command::Inherit(step) => self.inherit(at, &step),
            Command::Drained { parent, keys } => self.hear_drained(parent, &keys),
            Command::ConfirmDrained { keys } => self.confirm_drained(&keys),
            Command::Recut(step) => self.recut(at, &step),
        }
    }

    /// Terms, indices and clocks never fall in a log that a correct leader wrote.
    fn advance(&mut self, at: At) -> Result<(), Corrupt> {
        let last = self.header.get().at;
        let falls = at.term < last.term
            || at.index < last.index
            || at.lease_clock < last.lease_clock
            || at.wall_clock < last.wall_clock;
        if falls {
            return Err(Corrupt(format!(
                "entry {at:?} follows {last:?}: terms, indices and clocks never fall"
            )));
        }
        self.header.set(Header { at, ..*self.header.get() });
        Ok(())
    }

    fn flush(&mut self, out: &mut Output<Effect>) {
        self.header.flush(&mut out.changes);
        self.policy.flush(&mut out.changes);
        self.turns.flush(&mut out.changes);
        self.backlog.flush(&mut out.changes);
        self.sessions.flush(&mut out.changes);
        self.producers.flush(&mut out.changes);
        self.dedup.flush(&mut out.changes);
        self.requests.flush(&mut out.changes);
        self.replays.flush(&mut out.changes);
        out.changes.extend(self.outbox.flush().iter().map(outbox::change));
        self.inbox.flush(&mut out.changes);
        self.lineage.flush(&mut out.changes);
    }
}

/// The policy with the least that lets a message through.
pub(crate) fn usable(mut policy: QueuePolicy) -> QueuePolicy {
    policy.attempts_max = policy.attempts_max.max(1);
    policy.max_inflight_per_key = policy.max_inflight_per_key.max(1);
    policy.max_inflight = policy.max_inflight.map(|max| max.max(1));
    policy.max_inflight_per_session = policy.max_inflight_per_session.map(|max| max.max(1));
    policy
}
