//! From a relative target to nodes.

use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

use super::{Harm, Kind, Leaders, Target};

/// What targets are resolved on.
pub(crate) struct Ground<'a> {
    /// The nodes that formed the cluster.
    pub(crate) nodes: &'a [String],
    /// Those of them that may lose data.
    pub(crate) fragile: &'a [String],
    /// Who leads what.
    pub(crate) leaders: &'a Leaders,
}

impl Ground<'_> {
    /// The nodes that a kind befalls; for kinds that befall all or none, the target does not matter. Empty when the
    /// target names nobody.
    pub(crate) fn resolve(&self, kind: Kind, target: &Target, dice: &mut SmallRng) -> Vec<String> {
        match kind {
            Kind::KillAll | Kind::PowerCutAll | Kind::RollingRestart => return self.nodes.to_vec(),
            Kind::Transfer | Kind::Membership | Kind::Moves | Kind::Splits => return Vec::new(),
            _ => {}
        }
        let allowed = match kind.harm() {
            Harm::Passing => self.nodes,
            Harm::Lasting => self.fragile,
        };
        let named = self.named(target, dice);
        let mut found: Vec<String> = named.into_iter().filter(|node| allowed.contains(node)).collect();
        if matches!(kind, Kind::Clock | Kind::ClockStrobe) {
            found.truncate(((self.nodes.len() - 1) / 2).max(1));
        }
        if !found.is_empty() || matches!(target, Target::Nodes(_)) {
            return found;
        }
        // The leader may be unknown, or not among those that may lose data.
        allowed.choose(dice).into_iter().cloned().collect()
    }

    fn named(&self, target: &Target, dice: &mut SmallRng) -> Vec<String> {
        let count = self.nodes.len();
        match target {
            Target::Leader(place) => {
                self.leaders.at(*place).and_then(|partition| partition.leader.clone()).into_iter().collect()
            }
            Target::Follower(place) => {
                let Some(partition) = self.leaders.at(*place) else { return Vec::new() };
                let leader = partition.leader.as_ref();
                let followers: Vec<&String> =
                    partition.voters.iter().filter(|voter| Some(*voter) != leader).collect();
                followers.choose(dice).into_iter().map(|node| (*node).clone()).collect()
            }
            Target::Minority => {
                let size = dice.random_range(1..=((count - 1) / 2).max(1));
                self.some(size, dice)
            }
            Target::Majority => self.some(count / 2 + 1, dice),
            Target::All => self.nodes.to_vec(),
            Target::Random => self.some(1, dice),
            Target::Nodes(nodes) => nodes.clone(),
        }
    }

    fn some(&self, size: usize, dice: &mut SmallRng) -> Vec<String> {
        let mut nodes = self.nodes.to_vec();
        nodes.shuffle(dice);
        nodes.truncate(size);
        nodes.sort();
        nodes
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::super::Led;
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn leaders() -> Leaders {
        let led = |partition, leader: &str| Led {
            topic: "t".to_owned(),
            partition,
            leader: Some(leader.to_owned()),
            voters: names(&["n1", "n2", "n3"]),
        };
        Leaders { partitions: vec![led(0, "n2"), led(1, "n3")] }
    }

    #[test]
    fn relative_targets_follow_the_leaders() {
        let (nodes, leaders) = (names(&["n1", "n2", "n3", "n4", "n5"]), leaders());
        let ground = Ground { nodes: &nodes, fragile: &nodes[..2], leaders: &leaders };
        let mut dice = SmallRng::seed_from_u64(1);
        assert_eq!(ground.resolve(Kind::Kill, &Target::Leader(3), &mut dice), ["n3"]);
        for _ in 0..20 {
            let follower = ground.resolve(Kind::Kill, &Target::Follower(0), &mut dice);
            assert!(follower == ["n1"] || follower == ["n3"], "{follower:?}");
            assert!(ground.resolve(Kind::Kill, &Target::Minority, &mut dice).len() < 3);
            assert_eq!(ground.resolve(Kind::Kill, &Target::Majority, &mut dice).len(), 3);
        }
    }

    #[test]
    fn clocks_of_a_minority_jump() {
        let (nodes, leaders) = (names(&["n1", "n2", "n3", "n4", "n5"]), leaders());
        let ground = Ground { nodes: &nodes, fragile: &nodes[..2], leaders: &leaders };
        let mut dice = SmallRng::seed_from_u64(1);
        assert_eq!(ground.resolve(Kind::Clock, &Target::All, &mut dice).len(), 2);
        assert_eq!(ground.resolve(Kind::ClockStrobe, &Target::Majority, &mut dice).len(), 2);
    }

    #[test]
    fn lasting_harm_befalls_fragile_nodes_only() {
        let (nodes, leaders) = (names(&["n1", "n2", "n3", "n4", "n5"]), leaders());
        let ground = Ground { nodes: &nodes, fragile: &nodes[3..], leaders: &leaders };
        let mut dice = SmallRng::seed_from_u64(1);
        for target in [Target::Leader(0), Target::All, Target::Majority, Target::Random, Target::Follower(1)]
        {
            for _ in 0..20 {
                let found = ground.resolve(Kind::BitRot, &target, &mut dice);
                assert!(!found.is_empty() && found.iter().all(|node| nodes[3..].contains(node)), "{found:?}");
            }
        }
        assert!(ground.resolve(Kind::Wipe, &Target::Nodes(names(&["n1"])), &mut dice).is_empty());
    }
}
