//! `Tick`: members that were silent for too long expire, and what was not given up in time is taken. Fencing makes
//! the latter safe: what the old owner still does there no longer counts.

use std::collections::BTreeMap;

use weir_types::limits::TIMERS_PER_ENTRY_MAX;
use weir_types::{At, GroupId, LeaseClock, Output};

use crate::coordinator::Coordinator;
use crate::member::MemberId;
use crate::output::{Effect, Reply};
use crate::rows;

/// What is due in one group.
#[derive(Default)]
struct Due {
    members: Vec<MemberId>,
    partitions: Vec<GroupId>,
}

impl Coordinator {
    pub(crate) fn tick(&mut self, at: At, out: &mut Output<Effect>) -> Reply {
        let (mut expired, mut taken) = (0, 0);
        for (name, due) in self.due(at.lease_clock) {
            expired += due.members.len() as u32;
            taken += due.partitions.len() as u32;
            let before = self.groups[&name].slots.clone();
            for id in due.members {
                self.take_member(&name, &id);
                rows::delete_member(&name, &id, out);
            }
            self.free(&name, &due.partitions);
            self.rebalance(at, &name, &before, out);
        }
        Reply::Ticked { expired, taken }
    }

    /// Group by group, so that each is planned once. What exceeds the bound keeps its deadline, which asks for the
    /// next tick at once.
    fn due(&self, now: LeaseClock) -> BTreeMap<String, Due> {
        let mut all: BTreeMap<String, Due> = BTreeMap::new();
        let silent = self.deadlines.iter().take_while(|(deadline, _, _)| *deadline <= now);
        for (_, name, id) in silent.take(TIMERS_PER_ENTRY_MAX) {
            all.entry(name.clone()).or_default().members.push(id.clone());
        }
        let overdue = self.revocations.iter().take_while(|(deadline, _, _)| *deadline <= now);
        for (_, name, partition) in overdue.take(TIMERS_PER_ENTRY_MAX) {
            all.entry(name.clone()).or_default().partitions.push(*partition);
        }
        all
    }
}
