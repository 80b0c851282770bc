//! Whose messages go when.

use std::num::NonZeroU64;

use weir_queue::{Command, Granted, Queue, TenantRun};
use weir_types::{MessageId, QueuePolicy, TenantHash};

use super::Oracle;
use crate::turns::{LastTurns, Rank, Tenant};

/// 0 stands for none.
pub(crate) fn tenant(number: u8) -> Tenant {
    NonZeroU64::new(u64::from(number)).map(TenantHash)
}

/// One run per record; none at all when nobody is named.
pub(crate) fn tenants(numbers: impl Iterator<Item = u8>) -> Vec<TenantRun> {
    let runs: Vec<_> = numbers.map(|number| TenantRun { count: 1, tenant: tenant(number) }).collect();
    if runs.iter().all(|run| run.tenant.is_none()) { Vec::new() } else { runs }
}

impl Oracle {
    /// The queue is shared from now on, or no longer.
    pub(crate) fn share(&self, shared: bool) -> Command {
        let fair_by = shared.then(|| "tenant".to_owned());
        Command::SetPolicy { policy: QueuePolicy { fair_by, ..self.policy.clone() } }
    }

    /// The tenant of each record, as the queue sees it by now.
    pub(super) fn owners(&self, tenants: &[TenantRun], count: u32) -> Vec<Tenant> {
        if tenants.is_empty() || self.policy.fair_by.is_none() {
            return vec![None; count as usize];
        }
        tenants.iter().flat_map(|run| std::iter::repeat_n(run.tenant, run.count as usize)).collect()
    }

    fn rank(&self, priority: u8) -> Rank {
        if self.policy.fifo { 0 } else { 9 - priority }
    }

    pub(super) fn served(&mut self, id: MessageId) {
        let known = &self.alive[&id];
        self.turns.served(self.rank(known.priority), known.tenant);
    }

    /// What goes goes in turns: checked of each grant that is not a repeated answer.
    pub(super) fn judge_turn(&mut self, granted: &Granted) {
        let known = &self.alive[&granted.message];
        let seen = if self.policy.fifo { 0 } else { known.priority };
        assert_eq!(granted.priority, seen, "a message keeps its priority: {granted:?}");
        self.served(granted.message);
    }

    /// Priority first, then tenants in turns, then arrival.
    pub(super) fn check_order(&self, queue: &Queue) {
        let next: Vec<MessageId> = queue.next_ready(1_000).into_iter().map(|view| view.message).collect();
        let waiting = next.iter().map(|id| {
            let known = &self.alive[id];
            (self.rank(known.priority), known.tenant, *id)
        });
        let order = LastTurns::order(self.turns.clone(), waiting.collect());
        assert_eq!(next, order, "after {:?}", self.turns);
        for view in queue.peek(MessageId(0), 1_000) {
            assert_eq!(view.tenant, self.alive[&view.message].tenant, "a message keeps its tenant");
        }
    }
}
