//! Turns of tenants as anybody would explain them, by looking at everything.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::{MessageId, TenantHash};

/// 0 goes first.
pub(crate) type Rank = u8;
pub(crate) type Tenant = Option<TenantHash>;
/// A message that could be handed out.
pub(crate) type Waiting = (Rank, Tenant, MessageId);

/// Who had the last turn of each rank.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastTurns(BTreeMap<Rank, Tenant>);

impl LastTurns {
    pub(crate) fn served(&mut self, rank: Rank, tenant: Tenant) {
        self.0.insert(rank, tenant);
    }

    /// The message that goes first: of the first rank, of the tenant whose turn comes after the last one's, the oldest.
    pub(crate) fn next(&self, waiting: &BTreeSet<Waiting>) -> Option<Waiting> {
        let rank = waiting.first()?.0;
        let tenants: BTreeSet<Tenant> =
            waiting.iter().filter(|it| it.0 == rank).map(|(_, tenant, _)| *tenant).collect();
        let last = self.0.get(&rank).copied().flatten();
        let after = tenants.iter().find(|tenant| **tenant > last);
        let tenant = after.or_else(|| tenants.first())?;
        waiting.iter().find(|it| (it.0, it.1) == (rank, *tenant)).copied()
    }

    /// All of them, in the order in which they would go.
    pub(crate) fn order(mut self, mut waiting: BTreeSet<Waiting>) -> Vec<MessageId> {
        let mut order = Vec::new();
        while let Some(next) = self.next(&waiting) {
            waiting.remove(&next);
            self.served(next.0, next.1);
            order.push(next.2);
        }
        order
    }
}
