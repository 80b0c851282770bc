//! Whether a majority of voters can be expected to work, given the faults that are under way.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use super::Leaders;
use crate::env::{Link, Rule, Site};

/// Nodes that cannot be expected to do their work, by the fault that keeps them from it.
#[derive(Default)]
pub(crate) struct Sick {
    nodes: Mutex<BTreeMap<u64, Vec<String>>>,
}

impl Sick {
    /// A fault keeps these from their work.
    pub(crate) fn add(&self, fault: u64, nodes: Vec<String>) {
        self.nodes.lock().insert(fault, nodes);
    }

    /// A fault is over.
    pub(crate) fn remove(&self, fault: u64) {
        self.nodes.lock().remove(&fault);
    }

    /// All faults are over.
    pub(crate) fn clear(&self) {
        self.nodes.lock().clear();
    }

    fn contains(&self, node: &str) -> bool {
        self.nodes.lock().values().flatten().any(|sick| sick == node)
    }
}

/// Whether in every partition a majority of voters works, with links between them, and to the clients, that carry.
pub(crate) fn has_majority(site: &Site, sick: &Sick, damaged: &BTreeSet<String>, leaders: &Leaders) -> bool {
    let rules = site.links().effective();
    let founders: Vec<String> = site.founders().iter().map(|node| node.name().to_owned()).collect();
    let of_partitions = leaders.partitions.iter().map(|partition| &partition.voters);
    let mut groups = std::iter::once(&founders).chain(of_partitions);
    groups.all(|voters| {
        let places = voters
            .iter()
            .filter(|voter| !sick.contains(voter) && !damaged.contains(*voter))
            .filter_map(|voter| place(site, voter));
        let well: Vec<usize> = places.filter(|place| carry(&rules, *place, site.clients_place())).collect();
        largest_clique(&well, &rules) > voters.len() / 2
    })
}

fn place(site: &Site, name: &str) -> Option<usize> {
    site.nodes().iter().position(|node| node.name() == name)
}

fn carry(rules: &BTreeMap<Link, Rule>, a: usize, b: usize) -> bool {
    [(a, b), (b, a)].iter().all(|link| rules.get(link).is_none_or(Rule::carries))
}

/// The most hosts that all reach each other. There are a handful: every subset is tried.
fn largest_clique(hosts: &[usize], rules: &BTreeMap<Link, Rule>) -> usize {
    let subsets = 0_u32..1 << hosts.len().min(16);
    let connected = |subset: &u32| {
        let members: Vec<usize> = hosts
            .iter()
            .enumerate()
            .filter(|(bit, _)| subset >> bit & 1 == 1)
            .map(|(_, host)| *host)
            .collect();
        members.iter().all(|a| members.iter().all(|b| a == b || carry(rules, *a, *b)))
    };
    subsets.filter(connected).map(|subset| subset.count_ones() as usize).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_of_five_has_no_three_that_all_reach_each_other() {
        let ring = |a: usize, b: usize| (a + 1) % 5 == b || (b + 1) % 5 == a;
        let pairs = (0..5).flat_map(|a| (0..5).map(move |b| (a, b))).filter(|(a, b)| a != b && !ring(*a, *b));
        let rules = pairs.map(|link| (link, Rule::blocked())).collect();
        assert_eq!(largest_clique(&[0, 1, 2, 3, 4], &rules), 2);
        assert_eq!(largest_clique(&[0, 1, 2, 3, 4], &BTreeMap::new()), 5);
    }
}
