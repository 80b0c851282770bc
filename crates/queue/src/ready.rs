//! What can be leased now, in the order of handing out.

use std::collections::BTreeSet;
use std::iter::successors;
use std::num::NonZeroU64;
use std::ops::Bound;

use weir_types::mutants::{self, Mutant};
use weir_types::{MessageId, TenantHash};

use crate::limits::PRIORITY_MAX;

/// Whose a message is; those without one are in line as one tenant of their own, before all others.
pub(crate) type Tenant = Option<TenantHash>;

/// Items by rank, then by tenant in turns, then by arrival. In a plain queue every ready item is here, ranked by its
/// priority; in a FIFO queue only the next item of each key that may go on, all of one rank.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ready {
    /// Without a tenant: all there is in a queue that nobody shares.
    items: BTreeSet<(Rank, MessageId)>,
    of_tenants: BTreeSet<(Rank, TenantHash, MessageId)>,
    /// Those of tenants once more: which is the oldest must not be asked of each tenant.
    of_tenants_by_arrival: BTreeSet<MessageId>,
}

/// 0 goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(pub(crate) u8);

/// Where an item stands in line, but for its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) rank: Rank,
    pub(crate) tenant: Tenant,
}

impl Rank {
    /// Of all items of a FIFO queue.
    pub(crate) const FIFO: Self = Self(0);
    /// The one that goes last.
    pub(crate) const LAST: Self = Self(PRIORITY_MAX);

    pub(crate) fn of_priority(priority: u8) -> Self {
        assert!(priority <= PRIORITY_MAX, "priority {priority}");
        if mutants::on(Mutant::M41) {
            return Self(priority);
        }
        Self(PRIORITY_MAX - priority)
    }
}

impl Ready {
    pub(crate) fn add(&mut self, place: Place, item: MessageId) {
        let new = match place.tenant {
            None => self.items.insert((place.rank, item)),
            Some(tenant) => {
                self.of_tenants_by_arrival.insert(item) && self.of_tenants.insert((place.rank, tenant, item))
            }
        };
        assert!(new, "item {item} was ready already");
    }

    pub(crate) fn remove(&mut self, place: Place, item: MessageId) {
        let known = match place.tenant {
            None => self.items.remove(&(place.rank, item)),
            Some(tenant) => {
                self.of_tenants_by_arrival.remove(&item)
                    && self.of_tenants.remove(&(place.rank, tenant, item))
            }
        };
        assert!(known, "item {item} was not ready");
    }

    /// The highest rank of all.
    pub(crate) fn first_rank(&self) -> Option<Rank> {
        let plain = self.items.first().map(|(rank, _)| *rank);
        let shared = self.of_tenants.first().map(|(rank, _, _)| *rank);
        plain.into_iter().chain(shared).min()
    }

    /// The tenants with an item of this rank, each once, in the order of their turns when `last` was served last: it
    /// comes again after all others. Each step is a look into the sets, whatever they hold.
    pub(crate) fn in_turn(&self, rank: Rank, last: Tenant) -> impl Iterator<Item = Tenant> {
        let first = self.tenant_after(rank, last);
        successors(first, move |tenant| self.tenant_after(rank, *tenant).filter(|next| Some(*next) != first))
    }

    fn tenant_after(&self, rank: Rank, last: Tenant) -> Option<Tenant> {
        let has_unnamed =
            || self.items.range((rank, MessageId(0))..).next().is_some_and(|(next, _)| *next == rank);
        let next = self.named_after(rank, last).map(Some);
        let next = next.or_else(|| has_unnamed().then_some(None));
        next.or_else(|| self.named_after(rank, None).map(Some))
    }

    /// The first tenant with a name of its own after another one, in the order of hashes.
    fn named_after(&self, rank: Rank, last: Tenant) -> Option<TenantHash> {
        let from = match last {
            None => Bound::Included((rank, TenantHash(NonZeroU64::MIN), MessageId(0))),
            Some(last) => Bound::Excluded((rank, last, MessageId(u64::MAX))),
        };
        let to = Bound::Included((rank, TenantHash(NonZeroU64::MAX), MessageId(u64::MAX)));
        self.of_tenants.range((from, to)).next().map(|(_, tenant, _)| *tenant)
    }

    /// The items at one place, in order of arrival.
    pub(crate) fn at(&self, place: Place) -> impl Iterator<Item = MessageId> {
        let (rank, ids) = (place.rank, (MessageId(0), MessageId(u64::MAX)));
        let plain = place.tenant.is_none().then(|| self.items.range((rank, ids.0)..=(rank, ids.1)));
        let shared = place.tenant.map(|of| self.of_tenants.range((rank, of, ids.0)..=(rank, of, ids.1)));
        let plain = plain.into_iter().flatten().map(|(_, item)| *item);
        plain.chain(shared.into_iter().flatten().map(|(_, _, item)| *item))
    }

    /// A few items, one of which arrived first of all.
    pub(crate) fn oldest(&self) -> impl Iterator<Item = MessageId> {
        let plain = (0..=PRIORITY_MAX).map(|rank| Place { rank: Rank(rank), tenant: None });
        let plain = plain.filter_map(|place| self.at(place).next());
        plain.chain(self.of_tenants_by_arrival.first().copied())
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len() + self.of_tenants.len()
    }

    /// Entries in all sets.
    pub(crate) fn entries(&self) -> usize {
        self.len() + self.of_tenants_by_arrival.len()
    }
}
