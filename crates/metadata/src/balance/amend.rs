//! A move that has to be made anyway can begin or end elsewhere, and so level the nodes without a move more: like in a
//! flow problem, a replica too many is passed along a chain of planned moves, from a node that carries too much to one that
//! carries too little.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Carried, NodeIndex, PartIndex, Plan, Planned};

/// With another beginning or end a planned move takes a replica from a node.
#[derive(Clone, Copy)]
struct Amendment {
    /// Which move.
    at: usize,
    /// The node that then has one replica less.
    less: NodeIndex,
    /// What it becomes.
    becomes: Planned,
}

impl Plan {
    /// Amends the plan as long as that levels the nodes.
    pub(super) fn amend(&mut self) {
        // The last move of each partition: what comes before it stays as it is.
        let last: BTreeMap<PartIndex, usize> =
            self.moves.iter().enumerate().map(|(at, planned)| (planned.part, at)).collect();
        while let Some(chain) = self.amending_chain(&last) {
            for Amendment { at, becomes, .. } in chain {
                let Planned { part, from, to } = self.moves[at];
                self.shift(part, to, from);
                self.shift(part, becomes.from, becomes.to);
                self.moves[at] = becomes;
            }
        }
    }

    fn amending_chain(&self, last: &BTreeMap<PartIndex, usize>) -> Option<Vec<Amendment>> {
        let least = self.carried.iter().map(|carried| carried.replicas).min()?;
        let too_many = |node: &NodeIndex| self.carried[*node].replicas >= least + 2;
        let mut sources: Vec<NodeIndex> = (0..self.carried.len()).filter(too_many).collect();
        sources.sort_by_key(|node| (Reverse(self.carried[*node].replicas), *node));
        sources.into_iter().find_map(|source| self.chain_from(source, last))
    }

    /// Breadth first, so that the chain is as short as can be. No partition is in it twice: each amendment was found to
    /// be possible as the partition is now.
    fn chain_from(&self, source: NodeIndex, last: &BTreeMap<PartIndex, usize>) -> Option<Vec<Amendment>> {
        let mut reached: BTreeMap<NodeIndex, Amendment> = BTreeMap::new();
        let mut others: BTreeSet<NodeIndex> =
            (0..self.carried.len()).filter(|node| *node != source).collect();
        let mut queue = VecDeque::from([source]);
        while let Some(node) = queue.pop_front() {
            let chain = chain_to(node, source, &reached);
            if self.carried[node].replicas + 2 <= self.carried[source].replicas {
                return Some(chain);
            }
            let Carried { led, followed, .. } = &self.carried[node];
            let here = led.iter().chain(followed).filter_map(|part| last.get(part).copied());
            for at in
                here.filter(|at| !chain.iter().any(|earlier| earlier.becomes.part == self.moves[*at].part))
            {
                // Each node is reached once, and most of them by the first moves: the rest look at what is left.
                for (next, amendment) in self.amendments(at, node, &others) {
                    others.remove(&next);
                    reached.insert(next, amendment);
                    queue.push_back(next);
                }
                if others.is_empty() {
                    break;
                }
            }
        }
        None
    }

    /// The amendments of one planned move that take a replica from a node, and which of the others gets one instead.
    fn amendments(
        &self,
        at: usize,
        less: NodeIndex,
        others: &BTreeSet<NodeIndex>,
    ) -> Vec<(NodeIndex, Amendment)> {
        let Planned { part, from, to } = self.moves[at];
        let amended = |more: NodeIndex, from: NodeIndex, to: NodeIndex| {
            let becomes = Planned { part, from, to };
            self.may_move(part, less, more).then_some((more, Amendment { at, less, becomes }))
        };
        if to == less {
            // It ends elsewhere.
            let ends = others.iter().copied().filter(|next| *next != from);
            ends.filter_map(|next| amended(next, from, next)).collect()
        } else {
            // It begins here, and the node that it came from keeps its replica.
            let begins = others.get(&from).and_then(|from| amended(*from, less, to));
            begins.into_iter().collect()
        }
    }
}

fn chain_to(end: NodeIndex, source: NodeIndex, reached: &BTreeMap<NodeIndex, Amendment>) -> Vec<Amendment> {
    let mut chain = Vec::new();
    let mut node = end;
    while node != source {
        let amendment = reached[&node];
        chain.push(amendment);
        node = amendment.less;
    }
    chain
}
