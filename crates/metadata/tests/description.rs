//! A backup whose lineages contradict each other is refused before anything of it is in the registry.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use weir_metadata::{
    Addresses, Command, Described, Founder, Lineage, Registry, Rejection, Reply, Reshape, Stage,
};
use weir_types::{
    At, ClusterId, GroupId, Incarnation, KeyHash, KeyRange, NodeId, Output, ReplicaId, RequestId, TopicId,
    TopicKind, TopicPolicy,
};

fn apply(registry: &mut Registry, command: Command) -> Result<Reply, Rejection> {
    registry.apply(At::default(), command, &mut Output::default()).unwrap()
}

fn formed(cluster: u64) -> Registry {
    let addresses = Addresses { peer: "n:1".into(), client: "n:2".into(), http: "n:3".into() };
    let founder = Founder {
        node: NodeId(1),
        replica: ReplicaId(1),
        incarnation: Incarnation(1),
        name: "n".to_owned(),
        addresses,
        rack: None,
    };
    let (cluster, founders) = (ClusterId(cluster), vec![founder]);
    let mut registry = Registry::default();
    apply(&mut registry, Command::FormCluster { cluster, founders, coordinator_shards: 1 }).unwrap();
    registry
}

/// A stream whose partition (group 2) was split into 3 and 4, and 4 into 5 and 6.
fn described() -> Described {
    let mut registry = formed(1);
    let create = Command::CreateTopic {
        request: RequestId(1),
        name: "events".to_owned(),
        policy: TopicPolicy::default_for(TopicKind::Stream),
        partitions: 1,
        replicas: 1,
    };
    apply(&mut registry, create).unwrap();
    for (parent, children) in [(2, [3, 4]), (4, [5, 6])] {
        let parent = GroupId(parent);
        let (topic, request) = (TopicId(1), RequestId(u64::from(parent.0)));
        let steps = vec![Reshape::Split { parent, at: None }];
        apply(&mut registry, Command::Reshape { topic, request, steps, down: [].into() }).unwrap();
        for child in children.map(GroupId) {
            apply(&mut registry, Command::PartitionFormed { group: child }).unwrap();
        }
        apply(&mut registry, Command::PartitionSealed { group: parent }).unwrap();
    }
    registry.describe().unwrap()
}

/// Why a backup is not taken in that was changed so.
fn refused(change: impl FnOnce(&mut Described)) -> String {
    let mut described = described();
    change(&mut described);
    let mut registry = formed(2);
    let before = registry.clone();
    let answer = apply(&mut registry, Command::BeginRestoreOf { request: RequestId(9), described });
    assert_eq!(registry, before);
    match answer {
        Err(Rejection::BackupInvalid { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

fn lineage(described: &mut Described, group: u32) -> &mut Lineage {
    described.lineages.get_mut(&GroupId(group)).unwrap()
}

#[test]
fn a_backup_with_lineages_is_taken_in_as_it_was() {
    let described = described();
    assert_eq!((described.encode()[0], described.lineages.len()), (2, 5));
    assert_eq!(Described::decode(&described.encode()), Ok(described.clone()));
    let mut registry = formed(2);
    let request = RequestId(9);
    apply(&mut registry, Command::BeginRestoreOf { request, described: described.clone() }).unwrap();
    registry.check_invariants();
    for (group, lineage) in &described.lineages {
        assert_eq!(registry.lineage(*group), Some(lineage));
    }
    let owners: Vec<u32> = registry.partitions(TopicId(1)).map(|partition| partition.group.0).collect();
    assert_eq!(owners, [3, 5, 6]);
}

#[test]
fn a_backup_whose_lineages_contradict_each_other_is_refused() {
    let said = refused(|described| described.lineages.clear());
    assert!(said.contains("has a gap or overlap"), "{said}");
    let said = refused(|described| drop(described.lineages.remove(&GroupId(3))));
    assert!(said.contains("partition 3 is not known as a child of 2"), "{said}");
    let said = refused(|described| lineage(described, 2).children = vec![GroupId(3), GroupId(9)]);
    assert!(said.contains("partition 9 is not known as a child of 2"), "{said}");
    let said = refused(|described| lineage(described, 3).parents = vec![GroupId(4)]);
    assert!(said.contains("partition 3 is not known as a child of 2"), "{said}");
    let said = refused(|described| lineage(described, 2).stage = Stage::Open);
    assert!(said.contains("partition 2 cannot be so"), "{said}");
    let said = refused(|described| {
        let coming = Lineage { stage: Stage::Coming, ..lineage(described, 5).clone() };
        described.lineages.insert(GroupId(5), coming);
    });
    assert!(said.contains("cannot be (Sealed, Coming)"), "{said}");
    let said = refused(|described| {
        let lineage = Lineage { parents: vec![GroupId(6)], ..lineage(described, 5).clone() };
        described.lineages.insert(GroupId(99), lineage);
    });
    assert!(said.contains("partition 99 cannot be so"), "{said}");
}

#[test]
fn a_backup_in_which_a_partition_comes_of_itself_is_refused() {
    let said = refused(|described| {
        lineage(described, 2).parents = vec![GroupId(4)];
        lineage(described, 2).request = Some(RequestId(4));
        lineage(described, 4).children = vec![GroupId(2)];
    });
    assert!(said.contains("has no higher number than its parent"), "{said}");
}

#[test]
fn a_backup_that_is_of_the_middle_of_a_split_is_refused() {
    let said = refused(|described| {
        for (group, stage) in [(4, Stage::Sealing), (5, Stage::Coming), (6, Stage::Coming)] {
            lineage(described, group).stage = stage;
            lineage(described, group).reported = false;
        }
    });
    assert!(said.contains("partition 4 is being split or merged"), "{said}");
}

#[test]
fn a_backup_in_which_a_child_has_other_keys_than_its_parent_is_refused() {
    let said = refused(|described| {
        let partitions = &mut described.description.partitions;
        let few = KeyRange::new(KeyHash(0), KeyHash(5)).unwrap();
        partitions.iter_mut().find(|known| known.group == GroupId(4)).unwrap().range = few;
    });
    assert!(said.contains("has no key of its parent 4"), "{said}");
}
