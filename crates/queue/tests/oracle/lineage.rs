//! What a sealed partition refuses, and what a child holds back (P15).

use std::collections::BTreeSet;

use weir_queue::{Command, DedupId, Inherit, InheritedId, MessageState, Queue, Rejection, Reply};
use weir_types::limits::DEDUP_WINDOW_MS;
use weir_types::{GroupId, KeyHash, LeaseId, MessageId};

use super::Oracle;

/// The parents' side, and whether this partition was split itself.
#[derive(Default)]
pub(crate) struct Lineage {
    sealed: bool,
    awaited: BTreeSet<(KeyHash, GroupId)>,
    heard: BTreeSet<GroupId>,
}

/// One of two parents.
fn parent(number: u8) -> GroupId {
    GroupId(700 + u32::from(number))
}

fn hashes(keys: &[u32]) -> Vec<KeyHash> {
    keys.iter().copied().map(KeyHash).collect()
}

impl Lineage {
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed
    }

    pub(crate) fn awaits(&self, key: Option<KeyHash>) -> bool {
        self.awaited.iter().any(|(awaited, _)| Some(*awaited) == key)
    }

    /// All that is awaited is drained.
    pub(crate) fn release(&self) -> impl Iterator<Item = Command> {
        self.awaited.iter().map(|(key, parent)| Command::Drained { parent: *parent, keys: vec![*key] })
    }
}

impl Oracle {
    /// What a parent hands over; ids with what is left of their window.
    pub(crate) fn inherit(from: u8, base: u64, keys: &[u32], ids: &[(u8, u64)]) -> Command {
        let known = |(id, left_ms): &(u8, u64)| InheritedId {
            id: DedupId(u128::from(*id)),
            message: MessageId(5_000 + u64::from(*id)),
            left_ms: *left_ms,
        };
        Command::Inherit(Inherit {
            parent: parent(from),
            lease_base: LeaseId(base),
            sources: Vec::new(),
            dedup: ids.iter().map(known).collect(),
            keys: hashes(keys),
        })
    }

    pub(crate) fn drained(from: u8, keys: &[u32]) -> Command {
        Command::Drained { parent: parent(from), keys: hashes(keys) }
    }

    pub(crate) fn judge_lineage(&mut self, command: &Command, answer: &Result<Reply, Rejection>) {
        match command {
            Command::Seal => {
                assert_eq!(*answer, Ok(Reply::Sealed));
                self.lineage.sealed = true;
            }
            Command::Inherit(step) => {
                assert_eq!(*answer, Ok(Reply::Done));
                if !self.lineage.sealed && !self.lineage.heard.contains(&step.parent) {
                    self.inherited(step);
                }
            }
            Command::Drained { parent, keys } => {
                assert_eq!(*answer, Ok(Reply::Done));
                self.lineage.heard.insert(*parent);
                for key in keys {
                    self.lineage.awaited.remove(&(*key, *parent));
                }
            }
            Command::Redrive { .. } => {
                assert!(self.policy.fifo && self.lineage.sealed, "{answer:?}");
                assert_eq!(*answer, Err(Rejection::KeyGoesOn));
            }
            Command::Recut(step) => self.judge_recut(step, answer),
            _ => {}
        }
    }

    fn inherited(&mut self, step: &Inherit) {
        self.last_lease = self.last_lease.max(step.lease_base);
        self.lineage.awaited.extend(step.keys.iter().map(|key| (*key, step.parent)));
        let now = self.at.lease_clock;
        for known in &step.dedup {
            if self.ids.get(&known.id).is_none_or(|(_, until)| *until <= now) {
                let until = now + known.left_ms.min(DEDUP_WINDOW_MS);
                self.ids.insert(known.id, (known.message, until));
            }
        }
    }

    /// Nothing is offered that a parent has left, and nothing is said to be drained that is not.
    pub(crate) fn check_lineage(&self, queue: &Queue) {
        assert_eq!(queue.is_sealed(), self.lineage.sealed);
        if !self.policy.fifo {
            return;
        }
        for view in queue.next_ready(1_000) {
            assert!(!self.lineage.awaits(view.key), "P15: {view:?} is next");
        }
        let drained = queue.drained();
        for view in queue.peek(MessageId(0), 1_000) {
            let aside = matches!(view.state, MessageState::Parked { holds_key: false, .. });
            let told = view.key.is_some_and(|key| drained.contains(&key));
            assert!(aside || !told, "P15: the key of {view:?} is not drained");
        }
        assert!(drained.iter().all(|key| !self.lineage.awaits(Some(*key))), "P15: a parent has some left");
    }
}
