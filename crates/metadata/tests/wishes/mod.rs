//! What the histories of the laws are made of.

use proptest::prelude::*;

/// What somebody wants; numbers pick among what there is.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Join { rack: u8 },
    Restart { node: usize, moved: u8 },
    Build { node: usize, newer: bool },
    Raise { silent: usize },
    LoseDisk { node: usize },
    LoseWrites { node: usize, retry: bool },
    Remove { node: usize },
    Drain { node: usize, down: usize },
    Undrain { node: usize },
    Recover { node: usize, down: usize },
    Replace { node: usize, by: usize, down: usize, gone: bool },
    Move { group: usize, to: usize },
    Cancel { group: usize },
    Balance { take: usize },
    Elect { group: usize, voter: usize },
    Create { name: u8, partitions: u32, replicas: u32, request: u8 },
    Alter { topic: usize, attempts: u32 },
    Replicate { topic: usize, replicas: u32, down: usize },
    Delete { topic: usize },
    Reshape { topic: usize, steps: Vec<(usize, bool, Option<u32>)>, request: u8, down: usize },
    Scale { topic: usize, partitions: u32, request: u8 },
    Seal { group: usize, early: bool },
    Retire { group: usize },
    Link { kind: u8, from: usize, to: usize, gone: bool },
    Produce { name: Option<u8>, request: u8 },
    Form { group: usize },
    Walk { group: usize },
    FallBehind,
    Step { group: usize, behind: bool, committed: bool },
    Commit { group: usize },
    RollBack { group: usize, voter: usize },
    Repeat { report: usize },
}

pub(crate) fn wish() -> impl Strategy<Value = Wish> {
    let pick = 0..64usize;
    prop_oneof![
        3 => (0..4u8).prop_map(|rack| Wish::Join { rack }),
        2 => (pick.clone(), 0..3u8).prop_map(|(node, moved)| Wish::Restart { node, moved }),
        2 => (pick.clone(), any::<bool>()).prop_map(|(node, newer)| Wish::Build { node, newer }),
        2 => pick.clone().prop_map(|silent| Wish::Raise { silent }),
        1 => pick.clone().prop_map(|node| Wish::LoseDisk { node }),
        2 => (pick.clone(), any::<bool>()).prop_map(|(node, retry)| Wish::LoseWrites { node, retry }),
        1 => pick.clone().prop_map(|node| Wish::Remove { node }),
        2 => (pick.clone(), pick.clone()).prop_map(|(node, down)| Wish::Drain { node, down }),
        1 => pick.clone().prop_map(|node| Wish::Undrain { node }),
        2 => (pick.clone(), pick.clone()).prop_map(|(node, down)| Wish::Recover { node, down }),
        2 => replace(),
        3 => (pick.clone(), pick.clone()).prop_map(|(group, to)| Wish::Move { group, to }),
        1 => pick.clone().prop_map(|group| Wish::Cancel { group }),
        2 => (1..5usize).prop_map(|take| Wish::Balance { take }),
        2 => (pick.clone(), pick.clone()).prop_map(|(group, voter)| Wish::Elect { group, voter }),
        4 => (0..6u8, 0..5u32, 0..5u32, 0..8u8).prop_map(|(name, partitions, replicas, request)| {
            Wish::Create { name, partitions, replicas, request }
        }),
        1 => (pick.clone(), 0..4u32).prop_map(|(topic, attempts)| Wish::Alter { topic, attempts }),
        3 => replicate(),
        1 => pick.clone().prop_map(|topic| Wish::Delete { topic }),
        12 => reshaping(),
        4 => (0..3u8, pick.clone(), pick.clone(), prop::bool::weighted(0.2))
            .prop_map(|(kind, from, to, gone)| Wish::Link { kind, from, to, gone }),
        2 => (prop::option::of(0..3u8), 0..4u8).prop_map(|(name, request)| Wish::Produce { name, request }),
        6 => pick.clone().prop_map(|group| Wish::Form { group }),
        1 => Just(Wish::FallBehind),
        6 => (pick.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(group, behind, committed)| Wish::Step { group, behind, committed }),
        2 => pick.clone().prop_map(|group| Wish::Commit { group }),
        2 => (pick.clone(), pick.clone()).prop_map(|(group, voter)| Wish::RollBack { group, voter }),
        2 => pick.clone().prop_map(|report| Wish::Repeat { report }),
        12 => pick.prop_map(|group| Wish::Walk { group }),
    ]
}

fn replace() -> impl Strategy<Value = Wish> {
    (0..64usize, 0..64usize, 0..64usize, prop::bool::weighted(0.8))
        .prop_map(|(node, by, down, gone)| Wish::Replace { node, by, down, gone })
}

fn replicate() -> impl Strategy<Value = Wish> {
    (0..64usize, 0..6u32, 0..64usize).prop_map(|(topic, replicas, down)| Wish::Replicate {
        topic,
        replicas,
        down,
    })
}

/// Partitions are split and merged, come, are sealed and go.
fn reshaping() -> impl Strategy<Value = Wish> {
    let pick = 0..64usize;
    let step = (pick.clone(), prop::bool::weighted(0.4), prop::option::weighted(0.3, any::<u32>()));
    prop_oneof![
        3 => (pick.clone(), prop::collection::vec(step, 0..3), 0..32u8, pick.clone())
            .prop_map(|(topic, steps, request, down)| Wish::Reshape { topic, steps, request, down }),
        2 => (pick.clone(), 0..6u32, 0..32u8)
            .prop_map(|(topic, partitions, request)| Wish::Scale { topic, partitions, request }),
        5 => (pick.clone(), prop::bool::weighted(0.2)).prop_map(|(group, early)| Wish::Seal { group, early }),
        3 => pick.prop_map(|group| Wish::Retire { group }),
    ]
}

/// What is done to the members of few groups, and what is lost between them and the registry.
pub(crate) fn unrest() -> impl Strategy<Value = Wish> {
    let pick = 0..64usize;
    prop_oneof![
        2 => pick.clone().prop_map(|node| Wish::Drain { node, down: 1 }),
        2 => pick.clone().prop_map(|node| Wish::Undrain { node }),
        3 => (pick.clone(), pick.clone()).prop_map(|(group, to)| Wish::Move { group, to }),
        2 => pick.clone().prop_map(|group| Wish::Cancel { group }),
        1 => pick.clone().prop_map(|node| Wish::LoseWrites { node, retry: false }),
        1 => pick.clone().prop_map(|node| Wish::Recover { node, down: 1 }),
        3 => replicate(),
        1 => replace(),
        1 => (pick.clone(), pick.clone()).prop_map(|(group, voter)| Wish::Elect { group, voter }),
        2 => Just(Wish::FallBehind),
        8 => (pick.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(group, behind, committed)| Wish::Step { group, behind, committed }),
        2 => pick.clone().prop_map(|group| Wish::Commit { group }),
        2 => (pick.clone(), pick.clone()).prop_map(|(group, voter)| Wish::RollBack { group, voter }),
        2 => pick.clone().prop_map(|report| Wish::Repeat { report }),
        6 => pick.prop_map(|group| Wish::Walk { group }),
    ]
}

/// What happens around splits and merges of few topics.
pub(crate) fn growth() -> impl Strategy<Value = Wish> {
    let pick = 0..64usize;
    prop_oneof![
        8 => reshaping(),
        8 => pick.clone().prop_map(|group| Wish::Form { group }),
        1 => (0..3u8, pick.clone(), pick.clone(), any::<bool>())
            .prop_map(|(kind, from, to, gone)| Wish::Link { kind, from, to, gone }),
        1 => replicate(),
        1 => pick.clone().prop_map(|node| Wish::Drain { node, down: 1 }),
        1 => pick.clone().prop_map(|node| Wish::Undrain { node }),
        2 => pick.prop_map(|group| Wish::Walk { group }),
    ]
}
