//! The task that drains a partition's mailbox: one drain is one Raft entry. It also keeps the leader's clock and
//! proposes a tick when a deadline falls due.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use weir_consensus::{Group, Leadership, ProposeError};
use weir_runtime::Runtime;
use weir_types::limits::{ENTRY_BYTES_MAX, ENTRY_COMMANDS_MAX, LEASE_CLOCK_STEP_MS_MAX};
use weir_types::mutants::{self, Mutant};
use weir_types::{Deadlines, ErrorKind, LogIndex, Term, WallClock, WeirError};

use super::mailbox::{Proposal, Waiting};
use super::{CONTACT_LOST, Proposals, not_leader, propose_error};
use crate::directory::Directory;
use crate::replica::{LeaderClock, Replica, Stamp, State, encode};

/// Entries in flight: enough to keep the log busy while one syncs, few enough that commands gather meanwhile. Measured: one at a
/// time where many partitions are busy made a hundred of them slower and dearer.
const ENTRIES_INFLIGHT_MAX: usize = 4;
/// How long an entry may take before its callers are told that the outcome is unknown.
const ENTRY_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after an entry that was refused: while leadership is handed over, every entry is.
const TICK_PAUSE: Duration = Duration::from_millis(50);
/// Longest time between two observations of the clock while a lease runs. Half of what counts in full, so that no
/// time is lost when a timer comes late.
const OBSERVE_MS: u64 = LEASE_CLOCK_STEP_MS_MAX / 2;

pub(super) struct Driver<S: State> {
    group: Group<Replica<S>>,
    proposals: Proposals<S>,
    /// Taken from the mailbox, but too large for the last entry.
    held: Option<Proposal<S>>,
    applied: watch::Receiver<LogIndex>,
    leadership: watch::Receiver<Leadership>,
    directory: Directory,
    runtime: Runtime,
    stop: CancellationToken,
    /// Set while this replica leads.
    clock: Option<LeaderClock>,
    /// No tick before this.
    ticks_from: Option<Instant>,
    inflight: FuturesUnordered<BoxFuture<'static, Option<Unspent>>>,
}

/// What an entry that was never proposed would have added to the lease clock.
#[derive(Clone, Copy)]
struct Unspent {
    term: Term,
    ms: u32,
}

impl<S: State> Driver<S> {
    pub(super) fn new(
        group: Group<Replica<S>>,
        proposals: Proposals<S>,
        applied: watch::Receiver<LogIndex>,
        directory: Directory,
        runtime: Runtime,
        stop: CancellationToken,
    ) -> Self {
        let leadership = group.leadership();
        Self {
            group,
            proposals,
            held: None,
            applied,
            leadership,
            directory,
            runtime,
            stop,
            clock: None,
            ticks_from: None,
            inflight: FuturesUnordered::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        self.follow_leadership();
        loop {
            let wake = self.next_wake();
            let room = self.inflight.len() < ENTRIES_INFLIGHT_MAX;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = self.leadership.changed() => match changed {
                    Ok(()) => self.follow_leadership(),
                    Err(_) => break,
                },
                Some(unspent) = self.inflight.next(), if !self.inflight.is_empty() => self.take_back(unspent),
                proposal = next_proposal(&mut self.held, &mut self.proposals), if room => match proposal {
                    Some(first) => {
                        self.group.wake().await;
                        self.drain(first);
                    }
                    None => break,
                },
                Ok(()) = self.applied.changed() => {}
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => self.tick_if_due().await,
            }
        }
        // Whoever still waits learns that the outcome is unknown, by the dropped answers.
    }

    fn follow_leadership(&mut self) {
        let Leadership { here, term, .. } = *self.leadership.borrow_and_update();
        if !here {
            self.clock = None;
        } else if self.clock.as_ref().is_none_or(|clock| clock.term() != term) {
            // Leadership may have been elsewhere between two looks.
            let base = self.group.machine().lock().clocks().lease;
            self.clock = Some(LeaderClock::started(term, base, self.runtime.clock().now()));
        }
    }

    fn take_back(&mut self, unspent: Option<Unspent>) {
        let Some(Unspent { term, ms }) = unspent else { return };
        self.ticks_from = Some(self.runtime.clock().now() + TICK_PAUSE);
        if let Some(clock) = self.clock.as_mut().filter(|clock| clock.term() == term) {
            clock.give_back(ms);
        }
    }

    /// Makes one entry of `first` and everything else that waits and fits.
    fn drain(&mut self, first: Proposal<S>) {
        if self.clock.is_none() {
            let leader = self.leadership.borrow().leader.map(|(_, node)| node);
            first.refuse(not_leader(leader, &self.directory));
            return;
        }
        let mut batch = Batch::default();
        batch.add(first);
        while batch.commands.len() < ENTRY_COMMANDS_MAX {
            let Ok(next) = self.proposals.try_recv() else { break };
            if batch.bytes + next.bytes > ENTRY_BYTES_MAX {
                self.held = Some(next);
                break;
            }
            batch.add(next);
        }
        metrics::histogram!("weir_entry_commands").record(batch.commands.len() as u32);
        self.propose(batch);
    }

    fn propose(&mut self, batch: Batch<S>) {
        let Some(clock) = &mut self.clock else { return };
        clock.observe(self.runtime.clock().now(), in_contact(&self.group));
        let unspent = Unspent { term: clock.term(), ms: clock.stamp_ms() };
        let stamp = Stamp { wall: self.group.wall_clock(), lease_advance_ms: unspent.ms };
        let payload = encode(stamp, &batch.commands, &batch.bodies);
        let applied = self.group.submit(payload);
        let directory = self.directory.clone();
        let waiting = batch.waiting;
        self.inflight.push(Box::pin(async move {
            match timeout(ENTRY_TIMEOUT, applied).await {
                Ok(Ok(applied)) => {
                    let position = weir_consensus::EntryPosition { term: applied.term, index: applied.index };
                    for (waiting, answer) in waiting.into_iter().zip(applied.reply) {
                        waiting.answer(Ok((position, answer)));
                    }
                    None
                }
                Ok(Err(error)) => {
                    refuse_all(waiting, &propose_error(error, &directory));
                    (error != ProposeError::OutcomeUnknown).then_some(unspent)
                }
                Err(_) => {
                    refuse_all(waiting, &timed_out());
                    None
                }
            }
        }));
    }

    /// When to look at the deadlines again: at the earlier one, and often enough while a lease runs that the
    /// observations of the lease clock count in full.
    fn next_wake(&mut self) -> Option<Instant> {
        let now = self.runtime.clock().now();
        let clock = self.clock.as_mut()?;
        clock.observe(now, in_contact(&self.group));
        let lease_clock = clock.now();
        let (deadlines, wall) = self.deadlines();
        let lease_ms = deadlines.lease.map(|at| (at - lease_clock).min(OBSERVE_MS));
        let wall_ms = deadlines.wall.map(|at| at - wall);
        let ms = [lease_ms, wall_ms].into_iter().flatten().min()?;
        let wake = (now + Duration::from_millis(ms)).max(self.ticks_from.unwrap_or(now));
        // A deadline that is due, but whose tick is still in flight, is looked at again when that is applied.
        (ms > 0 || self.inflight.is_empty()).then_some(wake)
    }

    async fn tick_if_due(&mut self) {
        let Some(clock) = &mut self.clock else { return };
        clock.observe(self.runtime.clock().now(), in_contact(&self.group));
        let lease_clock = clock.now();
        let (deadlines, wall) = self.deadlines();
        let lease_due = deadlines.lease.is_some_and(|at| at <= lease_clock);
        let wall_due = deadlines.wall.is_some_and(|at| at <= wall);
        if (lease_due || wall_due) && self.inflight.is_empty() {
            let Some(tick) = S::tick() else { return };
            self.group.wake().await;
            self.propose(Batch { commands: vec![tick], ..Batch::default() });
        }
    }

    /// What the machine waits for, and the wall clock that its next entry will have: that of a former leader may
    /// be ahead of ours.
    fn deadlines(&self) -> (Deadlines, WallClock) {
        let wall = self.group.wall_clock();
        let machine = self.group.machine();
        let machine = machine.lock();
        (machine.deadlines(), machine.clocks().wall.max(wall))
    }
}

/// The proposal that was held back, else the next of the mailbox.
async fn next_proposal<S: State>(
    held: &mut Option<Proposal<S>>,
    proposals: &mut Proposals<S>,
) -> Option<Proposal<S>> {
    match held.take() {
        Some(proposal) => Some(proposal),
        None => proposals.recv().await,
    }
}

fn in_contact<S: State>(group: &Group<Replica<S>>) -> bool {
    group.quorum_contact().is_none_or(|silent| silent < CONTACT_LOST)
}

fn refuse_all<S: State>(waiting: Vec<Waiting<S>>, error: &WeirError) {
    for waiting in waiting {
        waiting.answer(Err(error.clone()));
    }
}

fn timed_out() -> WeirError {
    let message = format!("no majority confirmed the request within {} ms", ENTRY_TIMEOUT.as_millis());
    WeirError::new(ErrorKind::OutcomeUnknown, "outcome-unknown", message)
}

/// One entry in the making.
struct Batch<S: State> {
    commands: Vec<S::Command>,
    bodies: Vec<Bytes>,
    bodies_bytes: usize,
    /// Of commands and bodies.
    bytes: usize,
    waiting: Vec<Waiting<S>>,
}

impl<S: State> Default for Batch<S> {
    fn default() -> Self {
        Self { commands: Vec::new(), bodies: Vec::new(), bodies_bytes: 0, bytes: 0, waiting: Vec::new() }
    }
}

impl<S: State> Batch<S> {
    fn add(&mut self, proposal: Proposal<S>) {
        self.bytes += proposal.bytes;
        let (mut command, body, waiting) = proposal.split();
        if !body.is_empty() {
            let position = if mutants::on(Mutant::M30) { 0 } else { self.bodies_bytes };
            S::place_body(&mut command, position as u32);
            self.bodies_bytes += body.len();
            self.bodies.push(body);
        }
        self.commands.push(command);
        self.waiting.push(waiting);
    }
}
