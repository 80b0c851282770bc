//! `Tick`: members that were silent for too long expire.

use std::collections::BTreeMap;

use weir_types::limits::TIMERS_PER_ENTRY_MAX;
use weir_types::{At, Output};

use crate::coordinator::Coordinator;
use crate::member::MemberId;
use crate::output::{Effect, Reply};
use crate::rows;

impl Coordinator {
    pub(crate) fn tick(&mut self, at: At, out: &mut Output<Effect>) -> Reply {
        let due = self.deadlines.iter().take_while(|(deadline, _, _)| *deadline <= at.lease_clock);
        // Group by group, so that each is planned once. What exceeds the bound keeps its deadline, which asks
        // for the next tick at once.
        let mut expired: BTreeMap<String, Vec<MemberId>> = BTreeMap::new();
        for (_, name, id) in due.take(TIMERS_PER_ENTRY_MAX) {
            expired.entry(name.clone()).or_default().push(id.clone());
        }
        let count = expired.values().map(Vec::len).sum::<usize>();
        for (name, ids) in expired {
            let before = self.groups[&name].slots.clone();
            for id in ids {
                self.take_member(&name, &id);
                rows::delete_member(&name, &id, out);
            }
            self.rebalance(&name, &before, out);
        }
        Reply::Ticked { expired: count as u32 }
    }
}
