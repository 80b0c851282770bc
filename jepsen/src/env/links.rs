//! What happens to packets on the way from one host of a site to another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

/// A directed link: places of hosts, from and to.
pub type Link = (usize, usize);

/// What a link does to packets. The default carries all at once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rule {
    /// Carries nothing.
    pub blocked: bool,
    /// Answers every TCP packet with a reset to both ends.
    pub reset: bool,
    /// The share of packets that are lost, 0 to 1.
    pub loss: f64,
    /// The share of packets that come twice, 0 to 1.
    pub duplicate: f64,
    /// The share of packets that are overtaken by later ones, 0 to 1.
    pub reorder: f64,
    /// How much later every packet comes.
    pub delay: Duration,
    /// By how much more at most, drawn anew for each packet. Does not change their order.
    pub jitter: Duration,
    /// Bytes per second; 0 is no limit.
    pub bandwidth: u64,
}

impl Rule {
    /// Nothing gets through.
    pub fn blocked() -> Self {
        Self { blocked: true, ..Self::default() }
    }

    /// Both rules at once.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let slower = |a: u64, b: u64| if a == 0 || b == 0 { a.max(b) } else { a.min(b) };
        Self {
            blocked: self.blocked || other.blocked,
            reset: self.reset || other.reset,
            loss: 1.0 - (1.0 - self.loss) * (1.0 - other.loss),
            duplicate: self.duplicate.max(other.duplicate),
            reorder: self.reorder.max(other.reorder),
            delay: self.delay + other.delay,
            jitter: self.jitter + other.jitter,
            bandwidth: slower(self.bandwidth, other.bandwidth),
        }
    }

    /// Whether nodes with such a link between them can be expected to work together.
    pub fn carries(&self) -> bool {
        !self.blocked
            && !self.reset
            && self.loss < 0.2
            && self.delay + self.jitter < Duration::from_millis(200)
            && (self.bandwidth == 0 || self.bandwidth >= 256 << 10)
    }
}

/// The rules of all links, by the fault that asks for them.
#[derive(Default)]
pub struct Links {
    faults: RwLock<BTreeMap<u64, BTreeMap<Link, Rule>>>,
    version: AtomicU64,
}

impl Links {
    /// Lays a fault's rules upon those of the others; its former ones go.
    pub fn set(&self, fault: u64, rules: BTreeMap<Link, Rule>) {
        self.faults.write().insert(fault, rules);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Takes a fault's rules away.
    pub fn clear(&self, fault: u64) {
        self.faults.write().remove(&fault);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Takes all rules away.
    pub fn clear_all(&self) {
        self.faults.write().clear();
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Rises with every change.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Every link that does something to packets, with all that it does.
    pub fn effective(&self) -> BTreeMap<Link, Rule> {
        let mut all: BTreeMap<Link, Rule> = BTreeMap::new();
        for (link, rule) in self.faults.read().values().flatten() {
            let sum = all.entry(*link).or_default();
            *sum = sum.and(*rule);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_on_one_link_add_up_and_go_one_by_one() {
        let links = Links::default();
        let slow = Rule { delay: Duration::from_millis(5), bandwidth: 1_000, ..Rule::default() };
        links.set(1, BTreeMap::from([((0, 1), slow)]));
        links.set(2, BTreeMap::from([((0, 1), Rule { bandwidth: 500, ..slow }), ((1, 0), Rule::blocked())]));
        let both = links.effective();
        assert_eq!(
            both[&(0, 1)],
            Rule { delay: Duration::from_millis(10), bandwidth: 500, ..Rule::default() }
        );
        assert!(!both[&(1, 0)].carries());
        links.clear(2);
        assert_eq!(links.effective(), BTreeMap::from([((0, 1), slow)]));
    }
}
