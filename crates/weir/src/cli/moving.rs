//! Replicas on the move, watched until they are where they shall be: how far they are, and how long the rest may take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;
use weir_client::{Admin, ClusterStatus, MoveInfo, MovePhase, Moves, NodeInfo};

use crate::failure::{Failure, Outcome};
use crate::output::{Screen, bytes, duration_ms};

/// How long one look at the moves waits for a change.
const LOOK: Duration = Duration::from_secs(10);
/// What the steps of a move take beside its copy, in bytes that could be copied meanwhile: empty replicas take their time
/// too.
const STEPS_BYTES: u64 = 1 << 20;

/// Bytes of partitions by Raft group, as far as they are known: of those whose leader answered, and not of the cluster's own
/// groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Sizes(BTreeMap<u32, u64>);

impl Sizes {
    pub(super) fn of(status: &ClusterStatus) -> Self {
        let sized = status.partitions.iter().filter_map(|known| Some((known.group_id, known.bytes()?)));
        Self(sized.collect())
    }
}

/// How far moves are.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Progress {
    /// Replicas that are where they shall be.
    moved: usize,
    of: usize,
    catching_up: usize,
    taking_over: usize,
    waiting: usize,
    /// Bytes that were to be copied at the beginning, and those of them that have not been, where the size is known.
    bytes: u64,
    bytes_left: u64,
    /// Replicas that have not been copied and whose size is not known.
    unknown_sizes: usize,
    /// None before the first replica has been copied.
    seconds_left: Option<u64>,
}

impl Progress {
    fn text(&self) -> String {
        let Self { moved, of, catching_up, taking_over, waiting, .. } = self;
        let steps = format!(
            "{moved} of {of} replicas moved, {catching_up} catching up, {taking_over} taking over, {waiting} waiting"
        );
        if catching_up + waiting == 0 {
            return steps;
        }
        let unknown = match self.unknown_sizes {
            0 => String::new(),
            count => format!(" and {count} of unknown size"),
        };
        let time = match self.seconds_left {
            Some(seconds) => format!("about {}", duration_ms(seconds * 1_000)),
            None => "time left unknown until the first is copied".to_owned(),
        };
        let (left, all) = (bytes(self.bytes_left), bytes(self.bytes));
        format!("{steps}; {left} of {all} left to copy{unknown}, {time}")
    }
}

/// What a watch began with.
struct Plan {
    all: usize,
    /// The groups of the replicas that were not copied yet.
    to_copy: BTreeSet<u32>,
    sizes: Sizes,
}

impl Plan {
    fn new(moves: &[MoveInfo], sizes: Sizes) -> Self {
        let to_copy = moves.iter().filter(|moving| moving.phase != MovePhase::Removing);
        Self { all: moves.len(), to_copy: to_copy.map(|moving| moving.group_id).collect(), sizes }
    }

    /// How far it is after `elapsed`; none when all is done.
    fn progress<'a>(&self, left: impl Iterator<Item = &'a MoveInfo>, elapsed: Duration) -> Option<Progress> {
        let (mut waiting, mut catching_up, mut taking_over) = (0, 0, 0);
        let mut uncopied = BTreeSet::new();
        for moving in left {
            match moving.phase {
                MovePhase::Planned | MovePhase::Waiting => waiting += 1,
                MovePhase::CatchingUp => catching_up += 1,
                MovePhase::Removing => taking_over += 1,
            }
            if moving.phase != MovePhase::Removing {
                uncopied.insert(moving.group_id);
            }
        }
        let left = waiting + catching_up + taking_over;
        let known = |groups: &BTreeSet<u32>| groups.iter().filter_map(|group| self.sizes.0.get(group)).sum();
        let unknown = |group: &&u32| !self.sizes.0.contains_key(*group);
        (left > 0).then(|| Progress {
            moved: self.all.saturating_sub(left),
            of: self.all,
            catching_up,
            taking_over,
            waiting,
            bytes: known(&self.to_copy),
            bytes_left: known(&uncopied),
            unknown_sizes: uncopied.iter().filter(unknown).count(),
            seconds_left: self.seconds_left(&uncopied, elapsed),
        })
    }

    /// The rest goes as fast as what was copied so far.
    fn seconds_left(&self, uncopied: &BTreeSet<u32>, elapsed: Duration) -> Option<u64> {
        if uncopied.is_empty() {
            return Some(0);
        }
        let copied: BTreeSet<u32> = self.to_copy.difference(uncopied).copied().collect();
        let (done, rest) = (self.weight(&copied), self.weight(uncopied));
        let millis = (elapsed.as_millis() * u128::from(rest)).checked_div(u128::from(done))?;
        u64::try_from(millis.div_ceil(1_000)).ok()
    }

    /// What it takes to move replicas. One of unknown size counts as the mean of the others.
    fn weight(&self, groups: &BTreeSet<u32>) -> u64 {
        let known: u64 = self.sizes.0.values().sum();
        let mean = known.checked_div(self.sizes.0.len() as u64).unwrap_or(0);
        groups.iter().map(|group| self.sizes.0.get(group).unwrap_or(&mean) + STEPS_BYTES).sum()
    }
}

/// Looks at moves until they have ended, and says on standard error how far they are.
pub(super) struct Watch<'a> {
    admin: &'a Admin,
    screen: Screen,
    plan: Plan,
    began: Instant,
}

impl<'a> Watch<'a> {
    /// Of moves as they stand, or are planned.
    pub(super) fn new(admin: &'a Admin, screen: Screen, moves: &[MoveInfo], sizes: Sizes) -> Self {
        Self { admin, screen, plan: Plan::new(moves, sizes), began: Instant::now() }
    }

    /// Waits until these have ended, and looks whether the replicas are where they shall be.
    pub(super) async fn until_moved(&self, asked: &[MoveInfo]) -> Outcome {
        let groups: BTreeSet<u32> = asked.iter().map(|step| step.group_id).collect();
        let list: Vec<u32> = groups.iter().copied().collect();
        let moves = self
            .look(&list, |moves| {
                let left = moves.moves.iter().filter(|moving| groups.contains(&moving.group_id));
                Ok(self.plan.progress(left, self.began.elapsed()).map(Left::Moves))
            })
            .await?;
        let arrived = |step: &&MoveInfo| {
            let places = moves.places.get(&step.group_id);
            places.is_some_and(|nodes| nodes.contains(&step.to) && !nodes.contains(&step.from))
        };
        let (all, arrived) = (asked.len(), asked.iter().filter(arrived).count());
        if arrived == all {
            return Ok(());
        }
        let message = format!(
            "{arrived} of {all} replicas moved: the moves of the others were taken back or went elsewhere, or their \
             topics were deleted"
        );
        Err(Failure::operation("move-cancelled", message))
    }

    /// Waits until a node that is being drained holds nothing any more.
    pub(super) async fn until_drained(&self, node: &NodeInfo) -> Outcome {
        let look = |moves: &Moves| match moves.draining.iter().find(|(id, _)| *id == node.node_id) {
            Some((_, true)) => Ok(None),
            Some((_, false)) => {
                Ok(Some(self.left_on(node.node_id, moves, "its vote in the registry goes to another node")))
            }
            None => Err(Failure::operation(
                "drain-cancelled",
                format!(
                    "{} is not being drained any more: somebody put it back into use or removed it",
                    node.name
                ),
            )),
        };
        self.look(&[], look).await.map(|_| ())
    }

    /// Waits until a node that is leaving holds nothing any more, and is no member.
    pub(super) async fn until_left(&self, node: u64) -> Outcome {
        let look = |moves: &Moves| {
            let leaves = moves.leaving.contains(&node);
            Ok(leaves.then(|| self.left_on(node, moves, "it leaves the registry")))
        };
        self.look(&[], look).await.map(|_| ())
    }

    fn left_on(&self, node: u64, moves: &Moves, last: &'static str) -> Left {
        let progress = self.plan.progress(away_from(node, moves), self.began.elapsed());
        progress.map_or(Left::Last(last), Left::Moves)
    }

    /// Looks at each change until `left` says that nothing is. The last look, with the places of these groups.
    async fn look(
        &self,
        groups: &[u32],
        left: impl Fn(&Moves) -> Result<Option<Left>, Failure>,
    ) -> Result<Moves, Failure> {
        let (mut version, mut said) = (0, String::new());
        loop {
            let moves = self.admin.moves_and_places(version, LOOK, groups).await?;
            if moves.version < version {
                // From a node that is behind: what it does not know of yet is not done.
                continue;
            }
            version = moves.version;
            let Some(left) = left(&moves)? else { return Ok(moves) };
            let text = left.text(self.screen.is_json());
            if text != said {
                eprintln!("{text}");
                said = text;
            }
        }
    }
}

/// The moves that take replicas from a node.
pub(super) fn away_from(node: u64, moves: &Moves) -> impl Iterator<Item = &MoveInfo> {
    moves.moves.iter().filter(move |moving| moving.from == node)
}

/// What is not done yet.
enum Left {
    Moves(Progress),
    /// All replicas have moved, and this is what comes last.
    Last(&'static str),
}

impl Left {
    fn text(&self, is_json: bool) -> String {
        match (self, is_json) {
            (Self::Moves(progress), true) => json!({ "progress": progress }).to_string(),
            (Self::Moves(progress), false) => progress.text(),
            (Self::Last(last), true) => json!({ "progress": { "last": last } }).to_string(),
            (Self::Last(last), false) => (*last).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moving(group_id: u32, phase: MovePhase) -> MoveInfo {
        let topic = "tasks".to_owned();
        MoveInfo { group_id, topic, partition: 0, from: 1, to: 2, phase, reason: None }
    }

    fn plan(sizes: &[(u32, u64)], groups: u32) -> Plan {
        let moves: Vec<MoveInfo> = (1..=groups).map(|group| moving(group, MovePhase::Waiting)).collect();
        Plan::new(&moves, Sizes(sizes.iter().copied().collect()))
    }

    #[test]
    fn before_the_first_copy_nobody_knows_how_long_it_takes() {
        let plan = plan(&[(1, 3 << 20), (2, 7 << 20)], 2);
        let left = [moving(1, MovePhase::CatchingUp), moving(2, MovePhase::Waiting)];
        let progress = plan.progress(left.iter(), Duration::from_mins(1)).expect("two are left");
        assert_eq!((progress.bytes_left, progress.seconds_left), (10 << 20, None));
        assert_eq!(
            progress.text(),
            "0 of 2 replicas moved, 1 catching up, 0 taking over, 1 waiting; 10.0 MiB of 10.0 MiB left to copy, time \
             left unknown until the first is copied"
        );
    }

    #[test]
    fn what_is_left_takes_as_long_per_byte_as_what_was_copied() {
        // One of 3 MiB has been copied in four seconds, with its steps 4 MiB; one of 7 MiB is left.
        let plan = plan(&[(1, 3 << 20), (2, 7 << 20)], 2);
        let left = [moving(1, MovePhase::Removing), moving(2, MovePhase::CatchingUp)];
        let progress = plan.progress(left.iter(), Duration::from_secs(4)).expect("two are left");
        assert_eq!((progress.moved, progress.bytes_left, progress.seconds_left), (0, 7 << 20, Some(8)));
        assert!(progress.text().ends_with("7.0 MiB of 10.0 MiB left to copy, about 8s"), "{progress:?}");
    }

    #[test]
    fn a_replica_of_unknown_size_counts_as_the_mean_and_is_named() {
        let plan = plan(&[(1, 1 << 20), (2, 3 << 20)], 3);
        let left = [moving(2, MovePhase::Waiting), moving(3, MovePhase::Waiting)];
        let progress = plan.progress(left.iter(), Duration::from_secs(10)).expect("two are left");
        assert_eq!((progress.unknown_sizes, progress.seconds_left), (1, Some(35)));
        assert!(progress.text().contains("3.0 MiB of 4.0 MiB left to copy and 1 of unknown size"));
    }

    #[test]
    fn empty_replicas_take_their_time_too_and_the_last_steps_are_no_copy() {
        let plan = plan(&[], 4);
        let left: Vec<_> = (3..=4).map(|group| moving(group, MovePhase::Waiting)).collect();
        let progress = plan.progress(left.iter(), Duration::from_secs(6)).expect("two are left");
        assert_eq!(progress.seconds_left, Some(6));
        let left = [moving(4, MovePhase::Removing)];
        let progress = plan.progress(left.iter(), Duration::from_secs(6)).expect("one is left");
        assert_eq!(progress.text(), "3 of 4 replicas moved, 0 catching up, 1 taking over, 0 waiting");
        assert_eq!(plan.progress([].iter(), Duration::from_secs(6)), None);
    }

    #[test]
    fn programs_get_the_progress_as_an_object() {
        let progress = plan(&[(1, 5)], 1)
            .progress([moving(1, MovePhase::CatchingUp)].iter(), Duration::ZERO)
            .expect("one is left");
        let said: serde_json::Value =
            serde_json::from_str(&Left::Moves(progress).text(true)).expect("it is a document");
        let progress = json!({
            "moved": 0, "of": 1, "catching_up": 1, "taking_over": 0, "waiting": 0,
            "bytes": 5, "bytes_left": 5, "unknown_sizes": 0, "seconds_left": null
        });
        assert_eq!(said, json!({ "progress": progress }));
    }
}
