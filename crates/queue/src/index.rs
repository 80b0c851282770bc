//! Everything that is derived from the rows of spans and messages, and never stored.

use weir_types::QueuePolicy;

use crate::bodies::Bodies;
use crate::delays::Delays;
use crate::item::{Item, Phase};
use crate::keys::{Keys, Readiness};
use crate::leases::Leases;
use crate::lineage::Lineage;
use crate::parked::Parked;
use crate::ready::{Place, Rank, Ready, Tenant};

/// The indices over all items. An item is added and removed as a whole, so that an index can neither forget
/// nor invent one; rebuilding them from the rows gives the same (`check_invariants` holds that).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Index {
    pub(crate) counts: Counts,
    pub(crate) ready: Ready,
    /// Only of a FIFO queue.
    pub(crate) keys: Option<Keys>,
    pub(crate) leases: Leases,
    /// Scheduled and delayed items.
    pub(crate) delays: Delays,
    /// TTLs of items that are neither leased nor parked.
    pub(crate) expiries: Delays,
    pub(crate) parked: Parked,
    pub(crate) bodies: Bodies,
}

/// Messages by state, and bytes of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) ready: u64,
    pub(crate) scheduled: u64,
    pub(crate) delayed: u64,
    pub(crate) leased: u64,
    pub(crate) parked: u64,
    pub(crate) bytes: u64,
}

impl Counts {
    pub(crate) fn messages(&self) -> u64 {
        self.ready + self.scheduled + self.delayed + self.leased + self.parked
    }

    fn of_phase(&mut self, phase: Phase) -> &mut u64 {
        match phase {
            Phase::Ready => &mut self.ready,
            Phase::Scheduled { .. } => &mut self.scheduled,
            Phase::Delayed { .. } => &mut self.delayed,
            Phase::Leased { .. } => &mut self.leased,
            Phase::Parked { .. } => &mut self.parked,
        }
    }

    fn subtract(&mut self, item: &Item) {
        let count = self.of_phase(item.phase);
        assert!(*count >= item.count, "{count} counted, {} to go", item.count);
        *count -= item.count;
        assert!(self.bytes >= item.bytes, "{} bytes counted, {} to go", self.bytes, item.bytes);
        self.bytes -= item.bytes;
    }
}

impl Index {
    pub(crate) fn new(policy: &QueuePolicy) -> Self {
        Self {
            counts: Counts::default(),
            ready: Ready::default(),
            keys: policy.fifo.then(|| Keys::new(policy.max_inflight_per_key)),
            leases: Leases::default(),
            delays: Delays::default(),
            expiries: Delays::default(),
            parked: Parked::default(),
            bodies: Bodies::default(),
        }
    }

    /// What the lineage means for keys that have no message yet.
    pub(crate) fn begin(&mut self, lineage: &Lineage) {
        let Some(keys) = &mut self.keys else { return };
        for key in lineage.awaited() {
            keys.wait_for_parent(key, &mut self.ready);
        }
        if lineage.sealed().is_some() {
            keys.watch();
        }
    }

    pub(crate) fn add(&mut self, item: &Item) {
        assert!(item.count >= 1, "item {} is empty", item.name);
        *self.counts.of_phase(item.phase) += item.count;
        self.counts.bytes += item.bytes;
        self.bodies.add(item.entry, item.count);
        match item.phase {
            Phase::Ready => self.wait(item, Readiness::Ready),
            Phase::Scheduled { until } | Phase::Delayed { until } => {
                self.delays.add(until, item.name);
                self.wait(item, Readiness::Held);
            }
            Phase::Leased { deadline, session } => {
                self.leases.add(deadline, session, item.name);
                if let Some(keys) = &mut self.keys {
                    keys.lease(item.key, item.name, &mut self.ready);
                }
            }
            Phase::Parked { kind, holds_key } => {
                self.parked.add(kind, item.name);
                if let (Some(keys), true) = (&mut self.keys, holds_key) {
                    keys.park(item, &mut self.ready);
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, item: &Item) {
        self.counts.subtract(item);
        self.bodies.remove(item.entry, item.count);
        match item.phase {
            Phase::Ready => self.wait_no_more(item, Readiness::Ready),
            Phase::Scheduled { until } | Phase::Delayed { until } => {
                self.delays.remove(until, item.name);
                self.wait_no_more(item, Readiness::Held);
            }
            Phase::Leased { deadline, session } => {
                self.leases.remove(deadline, session, item.name);
                if let Some(keys) = &mut self.keys {
                    keys.unlease(item.key, item.name, &mut self.ready);
                }
            }
            Phase::Parked { kind, holds_key } => {
                self.parked.remove(kind, item.name);
                if let (Some(keys), true) = (&mut self.keys, holds_key) {
                    keys.unpark(item, &mut self.ready);
                }
            }
        }
    }

    /// Messages left the front of an item that keeps its name and phase: `gone` describes them alone.
    pub(crate) fn shrink(&mut self, gone: &Item) {
        self.counts.subtract(gone);
        self.bodies.remove(gone.entry, gone.count);
    }

    /// Where a message stands in line.
    pub(crate) fn place(&self, priority: u8, tenant: Tenant) -> Place {
        let rank = if self.keys.is_some() { Rank::FIFO } else { Rank::of_priority(priority) };
        Place { rank, tenant }
    }

    /// Entries in all indices: what the backlog costs beyond its rows.
    pub(crate) fn entries(&self) -> usize {
        self.ready.entries()
            + self.keys.as_ref().map_or(0, Keys::entries)
            + self.leases.entries()
            + self.delays.len()
            + self.expiries.len()
            + self.parked.len()
            + self.bodies.len()
    }

    fn wait(&mut self, item: &Item, readiness: Readiness) {
        if let Some(time) = item.expires_at {
            self.expiries.add(time, item.name);
        }
        let place = self.place(item.priority, item.tenant);
        match (&mut self.keys, readiness) {
            (Some(keys), readiness) => keys.wait(item, readiness, &mut self.ready),
            (None, Readiness::Ready) => self.ready.add(place, item.name),
            (None, Readiness::Held) => {}
        }
    }

    fn wait_no_more(&mut self, item: &Item, readiness: Readiness) {
        if let Some(time) = item.expires_at {
            self.expiries.remove(time, item.name);
        }
        let place = self.place(item.priority, item.tenant);
        match (&mut self.keys, readiness) {
            (Some(keys), _) => keys.wait_no_more(item, &mut self.ready),
            (None, Readiness::Ready) => self.ready.remove(place, item.name),
            (None, Readiness::Held) => {}
        }
    }
}
