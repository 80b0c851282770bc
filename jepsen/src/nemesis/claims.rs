//! Which parts of which nodes are in the hands of a fault: two faults that undo each other's work must not overlap.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::Kind;

/// A part of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Whether and how its process runs.
    Life,
    /// How its files behave.
    Disk,
    /// Its wall clock.
    Clock,
    /// Its share of the processor.
    Cpu,
}

impl Part {
    /// What a kind needs for itself. Links have no owner: their rules add up.
    pub(crate) fn of(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::Kill
            | Kind::KillAll
            | Kind::Pause
            | Kind::Snapshot
            | Kind::RollingRestart
            | Kind::Memory
            | Kind::FdExhaustion
            | Kind::Membership
            | Kind::Moves => &[Self::Life],
            Kind::DiskFull | Kind::SlowFsync | Kind::HungFsync => &[Self::Disk],
            Kind::Eio
            | Kind::TornWrite
            | Kind::LyingFsync
            | Kind::PowerCut
            | Kind::PowerCutAll
            | Kind::BitRot
            | Kind::Wipe
            | Kind::OldData => &[Self::Life, Self::Disk],
            Kind::Clock | Kind::ClockStrobe => &[Self::Clock],
            Kind::Cpu => &[Self::Cpu],
            Kind::Partition
            | Kind::OneWay
            | Kind::SingleLink
            | Kind::NetChaos
            | Kind::Reset
            | Kind::ClientCut
            | Kind::Transfer
            | Kind::Splits
            | Kind::Garbage => &[],
        }
    }
}

/// All that is claimed.
pub(crate) struct Claims {
    taken: Mutex<BTreeSet<(String, Part)>>,
    /// Wall clocks that may be wrong at once: a cluster believes the time that most of its nodes agree on.
    clocks_max: usize,
}

impl Claims {
    /// Nothing is claimed yet, of so many nodes.
    pub(crate) fn new(nodes: usize) -> Self {
        Self { taken: Mutex::default(), clocks_max: (nodes.saturating_sub(1) / 2).max(1) }
    }

    /// Takes the parts of all these nodes, or nothing.
    pub(crate) fn take(&self, nodes: &[String], parts: &[Part]) -> bool {
        let mut taken = self.taken.lock();
        let wanted = || nodes.iter().flat_map(|node| parts.iter().map(move |part| (node.clone(), *part)));
        if wanted().any(|part| taken.contains(&part)) {
            return false;
        }
        let clocks = taken.iter().filter(|(_, part)| *part == Part::Clock).count();
        if parts.contains(&Part::Clock) && clocks + nodes.len() > self.clocks_max {
            return false;
        }
        taken.extend(wanted());
        true
    }

    /// Whether nobody has these parts of a node.
    pub(crate) fn are_free(&self, node: &str, parts: &[Part]) -> bool {
        let taken = self.taken.lock();
        !parts.iter().any(|part| taken.contains(&(node.to_owned(), *part)))
    }

    /// Gives them back.
    pub(crate) fn give_back(&self, nodes: &[String], parts: &[Part]) {
        self.taken.lock().retain(|(node, part)| !(nodes.contains(node) && parts.contains(part)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn most_clocks_are_right_at_any_time() {
        let claims = Claims::new(5);
        let clock = Part::of(Kind::Clock);
        assert!(claims.take(&names(&["n1"]), clock) && claims.take(&names(&["n2"]), clock));
        assert!(!claims.take(&names(&["n3"]), clock));
        claims.give_back(&names(&["n1"]), clock);
        assert!(claims.take(&names(&["n3"]), clock));
        assert!(
            claims.take(&names(&["n1", "n2", "n3"]), Part::of(Kind::Kill)),
            "other parts have no such bound"
        );
    }
}
