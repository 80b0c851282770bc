//! The order of a FIFO queue's keys.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use weir_types::mutants::{self, Mutant};
use weir_types::{KeyHash, KeyRange, MessageId, TenantHash};

use crate::item::Item;
use crate::ready::{Place, Rank, Ready};

/// A key as the order sees it; messages without one form an order of their own.
pub(crate) type Key = Option<KeyHash>;

/// Per key: what waits, what is leased, and which item may be leased next.
///
/// Of what is left of a key the leased messages are always a prefix (P4): only the first waiting item is ever
/// offered, and whatever returns to its place revokes the leases behind it. An item that waits but is not ready
/// (delayed, scheduled, parked with its key) therefore holds its whole key back, and no other. So does a parent of the
/// partition, as long as it has messages of the key (P15). All keys share
/// these sets, so that a key costs nothing of its own and a million waiting messages of one are never looked at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Keys {
    inflight_max: u32,
    waiting: BTreeMap<(Key, MessageId), Readiness>,
    leased: BTreeSet<(Key, MessageId)>,
    /// The item of each key that is in the ready list: its first waiting one, if that is ready and the key has
    /// a lease to spare.
    offered: BTreeMap<Key, MessageId>,
    /// Those of the waiting that are parked: each holds its key until somebody redrives or discards it.
    parked: BTreeSet<(Key, MessageId)>,
    /// Of the waiting, those that have a tenant: it is wanted when they are offered.
    tenants: BTreeMap<MessageId, TenantHash>,
    /// Keys that a parent of this partition has messages of: nothing of them is offered.
    awaited: BTreeSet<KeyHash>,
    /// In a sealed partition, keys that something of went in this entry; none in others.
    touched: Option<BTreeSet<KeyHash>>,
}

/// Whether a waiting item could be leased if its turn came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    Held,
}

impl Keys {
    pub(crate) fn new(inflight_max: u32) -> Self {
        Self {
            inflight_max,
            waiting: BTreeMap::new(),
            leased: BTreeSet::new(),
            offered: BTreeMap::new(),
            parked: BTreeSet::new(),
            tenants: BTreeMap::new(),
            awaited: BTreeSet::new(),
            touched: None,
        }
    }

    pub(crate) fn wait(&mut self, item: &Item, readiness: Readiness, ready: &mut Ready) {
        let old = self.waiting.insert((item.key, item.name), readiness);
        assert!(old.is_none(), "item {} waits already", item.name);
        if let Some(tenant) = item.tenant {
            self.tenants.insert(item.name, tenant);
        }
        self.offer(item.key, ready);
    }

    pub(crate) fn wait_no_more(&mut self, item: &Item, ready: &mut Ready) {
        let old = self.waiting.remove(&(item.key, item.name));
        assert!(old.is_some(), "item {} was not waiting", item.name);
        self.offer(item.key, ready);
        self.tenants.remove(&item.name);
        self.touch(item.key);
    }

    /// A message is parked and its key waits behind it.
    pub(crate) fn park(&mut self, message: &Item, ready: &mut Ready) {
        self.parked.insert((message.key, message.name));
        self.wait(message, Readiness::Held, ready);
    }

    pub(crate) fn unpark(&mut self, message: &Item, ready: &mut Ready) {
        let known = self.parked.remove(&(message.key, message.name));
        assert!(known, "message {} was not parked with its key", message.name);
        self.wait_no_more(message, ready);
    }

    /// The first parked message that holds a key.
    pub(crate) fn held_by(&self, key: Key) -> Option<MessageId> {
        let of_key = (key, MessageId(0))..=(key, MessageId(u64::MAX));
        self.parked.range(of_key).next().map(|(_, message)| *message)
    }

    pub(crate) fn lease(&mut self, key: Key, message: MessageId, ready: &mut Ready) {
        let new = self.leased.insert((key, message));
        assert!(new, "message {message} is leased already");
        self.offer(key, ready);
    }

    pub(crate) fn unlease(&mut self, key: Key, message: MessageId, ready: &mut Ready) {
        let known = self.leased.remove(&(key, message));
        assert!(known, "message {message} was not leased");
        self.offer(key, ready);
        self.touch(key);
    }

    /// A parent has messages of the key left: they come first.
    pub(crate) fn wait_for_parent(&mut self, key: KeyHash, ready: &mut Ready) {
        self.awaited.insert(key);
        self.offer(Some(key), ready);
    }

    /// No parent has anything of the key left.
    pub(crate) fn go_on(&mut self, key: KeyHash, ready: &mut Ready) {
        self.awaited.remove(&key);
        self.offer(Some(key), ready);
        self.touch(Some(key));
    }

    /// Whether the key waits for a parent.
    pub(crate) fn awaits(&self, key: Key) -> bool {
        key.is_some_and(|key| self.awaited.contains(&key))
    }

    /// The partition is sealed: from now on it matters when a key is drained.
    pub(crate) fn watch(&mut self) {
        self.touched.get_or_insert_default();
    }

    /// In a sealed partition, the keys that were drained since this was last asked.
    pub(crate) fn take_drained(&mut self) -> Vec<KeyHash> {
        let touched = self.touched.as_mut().map(std::mem::take).unwrap_or_default();
        touched.into_iter().filter(|key| self.is_drained(*key)).collect()
    }

    /// Whether nothing of a key is left, here or in a parent. What is parked without its key is none of it.
    pub(crate) fn is_drained(&self, key: KeyHash) -> bool {
        let of_key = (Some(key), MessageId(0))..=(Some(key), MessageId(u64::MAX));
        let waits = self.waiting.range(of_key).next().is_some();
        !waits && self.leased(Some(key)).next().is_none() && !self.awaits(Some(key))
    }

    /// The keys of a range that are not drained. Looks at each key once, however many messages it has.
    pub(crate) fn undrained(&self, range: KeyRange) -> BTreeSet<KeyHash> {
        let mut keys: BTreeSet<KeyHash> = self.awaited.range(range.first()..=range.last()).copied().collect();
        let mut from = Some(range.first());
        while let Some(first) = from {
            let rest = (Some(first), MessageId(0))..=(Some(range.last()), MessageId(u64::MAX));
            let waiting = self.waiting.range(rest.clone()).next().and_then(|((key, _), _)| *key);
            let leased = self.leased.range(rest).next().and_then(|(key, _)| *key);
            let next = waiting.into_iter().chain(leased).min();
            keys.extend(next);
            let after = next.and_then(|key| key.0.checked_add(1)).map(KeyHash);
            from = after.filter(|after| *after <= range.last());
        }
        keys
    }

    /// Changes how many leases a key may have. Only keys with leases can be affected.
    pub(crate) fn set_inflight_max(&mut self, inflight_max: u32, ready: &mut Ready) {
        self.inflight_max = inflight_max;
        let keys: BTreeSet<Key> = self.leased.iter().map(|(key, _)| *key).collect();
        for key in keys {
            self.offer(key, ready);
        }
    }

    /// The item that the key may lease next.
    pub(crate) fn offered(&self, key: Key) -> Option<MessageId> {
        self.offered.get(&key).copied()
    }

    /// The leased messages of a key that arrived after `message`.
    pub(crate) fn leased_after(&self, key: Key, message: MessageId) -> Vec<MessageId> {
        self.leased
            .range((Bound::Excluded((key, message)), Bound::Included((key, MessageId(u64::MAX)))))
            .map(|(_, leased)| *leased)
            .collect()
    }

    /// The leased messages of a key, in order of arrival.
    pub(crate) fn leased(&self, key: Key) -> impl Iterator<Item = MessageId> {
        self.leased.range((key, MessageId(0))..=(key, MessageId(u64::MAX))).map(|(_, leased)| *leased)
    }

    /// The item of the key that comes right before `item`, waiting or leased: what `item` waits for.
    pub(crate) fn before(&self, key: Key, item: MessageId) -> Option<MessageId> {
        let earlier = (key, MessageId(0))..(key, item);
        let waiting = self.waiting.range(earlier.clone()).next_back().map(|((_, name), _)| *name);
        let leased = self.leased.range(earlier).next_back().map(|(_, name)| *name);
        waiting.max(leased)
    }

    pub(crate) fn entries(&self) -> usize {
        let order = self.waiting.len() + self.leased.len() + self.offered.len() + self.parked.len();
        order + self.tenants.len() + self.awaited.len()
    }

    /// Asserts P4 for every key, and P15: none goes on before its parents are done with it.
    pub(crate) fn check_prefixes(&self, first_of_item: impl Fn(MessageId) -> MessageId) {
        for (key, leased) in &self.leased {
            let head = self.head(*key).map(|(item, _)| first_of_item(item));
            assert!(
                head.is_none_or(|head| *leased < head),
                "P4: lease of {leased} before {head:?} of its key"
            );
        }
        for (key, item) in &self.offered {
            assert_eq!(self.head(*key), Some((*item, Readiness::Ready)), "offered is not the head");
            assert!(self.has_spare_lease(*key), "P4: key {key:?} is offered without a lease to spare");
            assert!(!self.awaits(*key), "P15: key {key:?} is offered before its parent is done with it");
        }
    }

    fn offer(&mut self, key: Key, ready: &mut Ready) {
        let next = match self.head(key) {
            Some((item, Readiness::Ready)) if self.has_spare_lease(key) && self.has_come(key) => Some(item),
            _ => None,
        };
        let old = self.offered.get(&key).copied();
        if next == old {
            return;
        }
        if let Some(item) = old {
            ready.remove(self.place(item), item);
            self.offered.remove(&key);
        }
        if let Some(item) = next {
            ready.add(self.place(item), item);
            self.offered.insert(key, item);
        }
    }

    /// Whether the key waits for no parent.
    fn has_come(&self, key: Key) -> bool {
        !self.awaits(key) || mutants::on(Mutant::M53)
    }

    fn touch(&mut self, key: Key) {
        if let Some(touched) = &mut self.touched {
            touched.extend(key);
        }
    }

    fn place(&self, item: MessageId) -> Place {
        Place { rank: Rank::FIFO, tenant: self.tenants.get(&item).copied() }
    }

    /// The first item of the key that waits.
    pub(crate) fn head(&self, key: Key) -> Option<(MessageId, Readiness)> {
        let of_key = (key, MessageId(0))..=(key, MessageId(u64::MAX));
        let mut waiting = self.waiting.range(of_key).map(|((_, item), readiness)| (*item, *readiness));
        if mutants::on(Mutant::M35) {
            return waiting.find(|(_, readiness)| *readiness == Readiness::Ready);
        }
        waiting.next()
    }

    /// Looks at no more leases than a key may have.
    fn has_spare_lease(&self, key: Key) -> bool {
        let of_key = (key, MessageId(0))..=(key, MessageId(u64::MAX));
        let limit = if mutants::on(Mutant::M36) { usize::MAX } else { self.inflight_max as usize };
        self.leased.range(of_key).take(limit).count() < limit
    }
}
