//! What goes to other partitions and what comes from them (P11).

use std::collections::BTreeMap;

use weir_queue::{
    AckAndAppend, Command, Enqueue, Move, Queue, Rejection, Reply, Settled, TenantRun, Transfer, Waiting,
};
use weir_types::{GroupId, MessageId, OutputBatch, Recut, RequestId, TransferSequence, TransferSource};

use super::{Oracle, Running};

/// The world around the queue: what was promised to other partitions, what they have, and what they send.
#[derive(Default)]
pub(crate) struct Transfers {
    /// Positions of the batches that acknowledged steps put into the outbox, in order. Each is unique.
    promised: BTreeMap<GroupId, Vec<u32>>,
    /// What each destination has taken in.
    arrived: BTreeMap<GroupId, Vec<u32>>,
    steps: Vec<(AckAndAppend, usize)>,
    next_position: u32,
    /// What the queue has taken in from its only source.
    through: TransferSequence,
}

impl Oracle {
    pub(crate) fn ack_and_append(&mut self, backs: &[u8], destinations: &[u8]) -> Option<Command> {
        let picked = backs.iter().filter_map(|back| {
            let back = usize::from(*back) % 12;
            let granted = self.grants.get(self.grants.len().checked_sub(back + 1)?)?;
            Some((granted.message, granted.lease))
        });
        let messages: BTreeMap<_, _> = picked.collect();
        if messages.is_empty() {
            return None;
        }
        let outputs = destinations.iter().map(|destination| {
            self.transfers.next_position += 1;
            let destination = GroupId(u32::from(*destination));
            OutputBatch { destination, position: self.transfers.next_position, length: 100 }
        });
        let outputs = outputs.collect();
        self.requests += 1;
        let request = Some(RequestId(self.requests));
        Some(Command::AckAndAppend(AckAndAppend {
            request,
            messages: messages.into_iter().collect(),
            outputs,
        }))
    }

    /// What waits leaves, in one batch. Other steps of the entry may come in between.
    pub(crate) fn move_on(
        &mut self,
        parked: bool,
        max: usize,
        destination: u8,
        queue: &Queue,
    ) -> Option<Command> {
        let (waiting, views) = if parked {
            (Waiting::Parked, queue.parked(None, MessageId(0), max))
        } else {
            (Waiting::Ready, queue.next_ready(max))
        };
        self.transfers.next_position += 1;
        let destination = GroupId(u32::from(destination));
        let outputs = vec![OutputBatch { destination, position: self.transfers.next_position, length: 100 }];
        let messages: Vec<_> = views.into_iter().map(|view| view.message).collect();
        (!messages.is_empty()).then_some(Command::Move(Move { waiting, messages, outputs }))
    }

    pub(crate) fn judge_move(&mut self, step: &Move, answer: &Result<Reply, Rejection>) {
        if let Err(rejection) = answer {
            assert!(matches!(rejection, Rejection::NotWaiting { .. }), "{rejection}");
            return;
        }
        for id in &step.messages {
            if step.waiting == Waiting::Ready {
                self.served(*id);
            }
            let gone = self.alive.remove(id).unwrap_or_else(|| panic!("{id} is gone, and leaves"));
            assert!(gone.deliver_at <= self.at.wall_clock, "P8: message {id} leaves before its time");
            let runs = matches!(gone.grant, Some((_, Running::Surely)));
            assert!(!runs, "P3: message {id} leaves while it is leased");
        }
        for output in &step.outputs {
            self.transfers.promised.entry(output.destination).or_default().push(output.position);
        }
    }

    pub(crate) fn repeated_step(&self, back: u8) -> Option<Command> {
        let steps = &self.transfers.steps;
        let place = steps.len().checked_sub(1 + usize::from(back) % steps.len().max(1))?;
        Some(Command::AckAndAppend(steps[place].0.clone()))
    }

    /// The destination takes in what waits for it, and the queue may hear of it. Told late, or twice, it is the same.
    pub(crate) fn send(&mut self, destination: u8, told: bool, queue: &Queue) -> Option<Command> {
        let destination = GroupId(u32::from(destination));
        let arrived = self.transfers.arrived.entry(destination).or_default();
        let after = TransferSequence(arrived.len() as u64);
        arrived
            .extend(queue.outbox().batches(destination, after).take(2).map(|batch| batch.pointer.position));
        let through = TransferSequence(arrived.len() as u64);
        told.then_some(Command::ConfirmTransfer { destination, through })
    }

    /// A batch of the other partition: the next one, one that is known, or one before its turn.
    pub(crate) fn transfer(&mut self, skew: u8, batch: Enqueue, tenants: Vec<TenantRun>) -> Command {
        let after = TransferSequence((self.transfers.through.0 + u64::from(skew % 3)).saturating_sub(1));
        let source = TransferSource::outbox(GroupId(900));
        Command::accept_transfer(Transfer { source, after, sequence: after.next(), batch }, tenants)
    }

    /// A destination turned out to be sealed: what waits for it is cut anew for others.
    pub(crate) fn recut(&mut self, destination: u8, max: usize, into: &[u8]) -> Option<Command> {
        let destination = GroupId(u32::from(destination));
        let after = self.transfers.arrived.get(&destination).map_or(0, Vec::len);
        let all = self.transfers.promised.get(&destination).map_or(0, Vec::len);
        let through = all.min(after + max);
        let others = into.iter().map(|to| GroupId(u32::from(*to))).filter(|to| *to != destination);
        let outputs: Vec<_> = others
            .map(|destination| {
                self.transfers.next_position += 1;
                OutputBatch { destination, position: self.transfers.next_position, length: 100 }
            })
            .collect();
        let (after, through) = (TransferSequence(after as u64), TransferSequence(through as u64));
        let step = Recut { destination, after, through, outputs };
        step.check().is_ok().then_some(Command::Recut(step))
    }

    /// What was replaced counts as arrived: nobody sends it any more.
    pub(crate) fn judge_recut(&mut self, step: &Recut, answer: &Result<Reply, Rejection>) {
        if answer.is_err() {
            assert_eq!(*answer, Err(Rejection::RecutRaced));
            return;
        }
        let arrived = self.transfers.arrived.entry(step.destination).or_default();
        let have = arrived.len();
        let replaced = self.transfers.promised[&step.destination].iter().take(step.through.0 as usize);
        arrived.extend(replaced.skip(have));
        for output in &step.outputs {
            self.transfers.promised.entry(output.destination).or_default().push(output.position);
        }
    }

    pub(crate) fn judge_step(&mut self, step: &AckAndAppend, answer: &Result<Reply, Rejection>) {
        let known = self.transfers.steps.iter().any(|(known, _)| known.request == step.request);
        match answer {
            Ok(Reply::Settled { outcomes }) => {
                assert_eq!(*outcomes, vec![Settled::Done; step.messages.len()]);
                if known {
                    return;
                }
                for (id, lease) in &step.messages {
                    let alive =
                        self.alive.remove(id).unwrap_or_else(|| panic!("P2: {id} is gone, and acked"));
                    let (granted, _) = alive.grant.expect("an acked message was granted");
                    assert_eq!(granted.lease, *lease, "P6: message {id} is acked under a superseded lease");
                    self.replays.acked(self.at, &self.policy, *id);
                }
                for output in &step.outputs {
                    self.transfers.promised.entry(output.destination).or_default().push(output.position);
                }
                self.transfers.steps.push((step.clone(), outcomes.len()));
            }
            Err(Rejection::LeaseLost { message, lease }) => {
                let running = self.alive.get(message).and_then(|alive| alive.grant);
                let runs = matches!(running, Some((granted, Running::Surely)) if granted.lease == *lease);
                assert!(!runs, "the lease {lease} of message {message} runs, and is lost");
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn judge_transfer(
        &mut self,
        transfer: &Transfer,
        tenants: &[TenantRun],
        answer: &Result<Reply, Rejection>,
    ) {
        let Ok(Reply::Transferred { through }) = answer else {
            let is_sealed = self.lineage.is_sealed() && answer == &Err(Rejection::Sealed);
            assert!(is_sealed || matches!(answer, Err(Rejection::QueueFull { .. })), "{answer:?}");
            return;
        };
        if transfer.after == self.transfers.through {
            assert_eq!(*through, transfer.sequence, "P11: the next batch is taken in");
            assert!(!self.lineage.is_sealed(), "P15: a sealed partition takes {transfer:?} in");
            let first = MessageId(self.next_message);
            self.add_messages(&transfer.batch, tenants, first, &std::collections::BTreeSet::new());
            self.next_message += u64::from(transfer.batch.count);
            self.transfers.through = *through;
        }
        assert_eq!(*through, self.transfers.through, "P11: how far the source is");
    }

    /// P11: what was promised to a destination is there, or waits for it: all of it, once, in order.
    pub(crate) fn check_outbox(&self, queue: &Queue) {
        let nothing = Vec::new();
        for (destination, promised) in &self.transfers.promised {
            let mut all = self.transfers.arrived.get(destination).unwrap_or(&nothing).clone();
            let after = TransferSequence(all.len() as u64);
            all.extend(queue.outbox().batches(*destination, after).map(|batch| batch.pointer.position));
            assert_eq!(all, *promised, "P11: batches for partition {destination}");
        }
        let waiting: usize =
            queue.outbox().waiting().map(|(group, after)| queue.outbox().batches(group, after).count()).sum();
        assert_eq!(waiting, queue.outbox().len(), "what waits, waits for a destination");
    }
}
