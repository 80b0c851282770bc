//! Properties of the planner.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use weir_metadata::ReplicaMove;
use weir_metadata::limits::MOVES_PER_COMMAND_MAX;
use weir_metadata::placement::{Candidate, Layout, Placement, Rack, Spread, place, place_one};
use weir_types::{GroupId, NodeId};

fn nodes(count: u64, rack: impl Fn(u64) -> Option<String>) -> Vec<Candidate> {
    (1..=count).map(|n| Candidate { node: NodeId(n), rack: rack(n), replicas: 0, leaders: 0 }).collect()
}

/// Replicas and leaders per node after the plan.
fn counts(candidates: &[Candidate], plan: &[Placement]) -> BTreeMap<NodeId, (u64, u64)> {
    let mut counts: BTreeMap<NodeId, (u64, u64)> =
        candidates.iter().map(|c| (c.node, (c.replicas, c.leaders))).collect();
    for placement in plan {
        for node in &placement.nodes {
            counts.get_mut(node).unwrap().0 += 1;
        }
        counts.get_mut(&placement.leader).unwrap().1 += 1;
    }
    counts
}

fn spread(values: impl Iterator<Item = u64>) -> u64 {
    let values: Vec<u64> = values.collect();
    values.iter().max().unwrap() - values.iter().min().unwrap()
}

fn check_plan(plan: &[Placement], partitions: usize, replicas: usize) {
    assert_eq!(plan.len(), partitions);
    for placement in plan {
        let distinct: BTreeSet<NodeId> = placement.nodes.iter().copied().collect();
        assert_eq!(distinct.len(), replicas, "a node is twice in {placement:?}");
        assert_eq!(placement.nodes.len(), replicas);
        assert!(distinct.contains(&placement.leader));
    }
}

proptest! {
    #[test]
    fn equal_nodes_end_within_one_replica_and_one_leader(
        count in 1u64..12,
        replicas in 1usize..6,
        partitions in 0usize..60,
    ) {
        let candidates = nodes(count, |_| None);
        let Some(plan) = place(&candidates, partitions, replicas) else {
            prop_assert!(replicas > count as usize);
            return Ok(());
        };
        check_plan(&plan, partitions, replicas);
        let counts = counts(&candidates, &plan);
        prop_assert!(spread(counts.values().map(|count| count.0)) <= 1, "{counts:?}");
        prop_assert!(spread(counts.values().map(|count| count.1)) <= 1, "{counts:?}");
    }

    #[test]
    fn equal_racks_are_used_evenly_and_apart(
        racks in 1u64..5,
        per_rack in 1u64..4,
        replicas in 1usize..6,
        partitions in 0usize..60,
    ) {
        let rack = |n: u64| Some(format!("rack {}", n % racks));
        let candidates = nodes(racks * per_rack, rack);
        let Some(plan) = place(&candidates, partitions, replicas) else { return Ok(()) };
        check_plan(&plan, partitions, replicas);
        for placement in &plan {
            let mut used: BTreeMap<u64, u64> = BTreeMap::new();
            for node in &placement.nodes {
                *used.entry(node.0 % racks).or_default() += 1;
            }
            prop_assert_eq!(used.len(), replicas.min(racks as usize));
            prop_assert!(spread(used.values().copied()) <= 1);
        }
        let counts = counts(&candidates, &plan);
        prop_assert!(spread(counts.values().map(|count| count.0)) <= 1, "{counts:?}");
        prop_assert!(spread(counts.values().map(|count| count.1)) <= 1, "{counts:?}");
    }

    #[test]
    fn any_cluster_keeps_racks_apart_and_fills_the_least_loaded(
        described in prop::collection::vec((0u64..4, 0u64..20, 0u64..10), 1..10),
        replicas in 1usize..5,
        partitions in 1usize..20,
    ) {
        let candidate = |(n, (rack, replicas, leaders)): (usize, &(u64, u64, u64))| Candidate {
            node: NodeId(n as u64 + 1),
            rack: (*rack > 0).then(|| rack.to_string()),
            replicas: *replicas,
            leaders: *leaders,
        };
        let candidates: Vec<Candidate> = described.iter().enumerate().map(candidate).collect();
        let Some(plan) = place(&candidates, partitions, replicas) else { return Ok(()) };
        check_plan(&plan, partitions, replicas);
        let rack_of = |node: NodeId| {
            let candidate = &candidates[node.0 as usize - 1];
            candidate.rack.clone().unwrap_or_else(|| format!("alone {node}"))
        };
        let racks: BTreeSet<String> = candidates.iter().map(|candidate| rack_of(candidate.node)).collect();
        for placement in &plan {
            let used: BTreeSet<String> = placement.nodes.iter().map(|node| rack_of(*node)).collect();
            prop_assert_eq!(used.len(), replicas.min(racks.len()));
        }
        // The order in which nodes are listed decides nothing.
        let reversed: Vec<Candidate> = candidates.iter().rev().cloned().collect();
        prop_assert_eq!(place(&reversed, partitions, replicas), Some(plan));
    }

    #[test]
    fn leaders_level_what_was_uneven_before(before in prop::collection::vec(0u64..6, 3)) {
        let mut candidates = nodes(3, |_| None);
        for (candidate, leaders) in candidates.iter_mut().zip(&before) {
            candidate.leaders = *leaders;
        }
        // Every node is in every set, so leaders can go anywhere.
        let plan = place(&candidates, 12, 3).unwrap();
        let counts = counts(&candidates, &plan);
        prop_assert!(spread(counts.values().map(|count| count.1)) <= 1, "{counts:?}");
    }
}

#[test]
fn a_single_replica_goes_to_the_least_loaded_node_that_is_not_taken() {
    let mut candidates = nodes(3, |_| None);
    candidates[0].replicas = 5;
    candidates[1].replicas = 1;
    assert_eq!(place_one(&candidates, &BTreeSet::new(), &[]), Some(NodeId(3)));
    assert_eq!(place_one(&candidates, &BTreeSet::from([NodeId(3)]), &[]), Some(NodeId(2)));
    assert_eq!(place_one(&candidates, &(1..=3).map(NodeId).collect(), &[]), None);
}

#[test]
fn a_rack_in_use_is_avoided_even_if_its_nodes_are_empty() {
    let mut candidates = nodes(3, |n| Some(if n == 3 { "b" } else { "a" }.to_owned()));
    candidates[2].replicas = 9;
    let taken = BTreeSet::from([NodeId(1)]);
    assert_eq!(place_one(&candidates, &taken, &[Rack::of(NodeId(1), Some("a"))]), Some(NodeId(3)));
    // The replica on node 1 is on its way out: nobody has to keep apart from it.
    assert_eq!(place_one(&candidates, &taken, &[]), Some(NodeId(2)));
}

/// Partitions as `place` would spread them over the first `old` nodes.
fn spreads(nodes: &[Candidate], old: usize, partitions: usize, replicas: usize) -> Option<Vec<Spread>> {
    let plan = place(&nodes[..old.min(nodes.len())], partitions, replicas)?;
    let spread = |(group, placement): (u32, Placement)| Spread {
        group: GroupId(group),
        nodes: placement.nodes.into_iter().collect(),
        leader: Some(placement.leader),
    };
    Some((1..).zip(plan).map(spread).collect())
}

fn loaded(nodes: &[Candidate], spreads: &[Spread]) -> Vec<Candidate> {
    let carries = |node: NodeId| spreads.iter().filter(|spread| spread.nodes.contains(&node)).count() as u64;
    let leads = |node: NodeId| spreads.iter().filter(|spread| spread.leader == Some(node)).count() as u64;
    let load = |c: &Candidate| Candidate { replicas: carries(c.node), leaders: leads(c.node), ..c.clone() };
    nodes.iter().map(load).collect()
}

/// Carries the moves out; each must be possible.
fn moved(spreads: &[Spread], moves: &[ReplicaMove]) -> Vec<Spread> {
    let mut after = spreads.to_vec();
    for step in moves {
        let at = after.binary_search_by_key(&step.group, |spread| spread.group).unwrap();
        let spread = &mut after[at];
        assert!(spread.nodes.remove(&step.from), "{step:?}: nothing is there");
        assert!(spread.nodes.insert(step.to), "{step:?}: two replicas on one node");
        if spread.leader == Some(step.from) {
            spread.leader = Some(step.to);
        }
    }
    after
}

fn balance(candidates: &[Candidate], partitions: &[Spread]) -> Vec<ReplicaMove> {
    let (candidates, partitions) = (candidates.to_vec(), partitions.to_vec());
    Layout { candidates, racks: BTreeMap::new(), partitions }.balance().moves
}

fn racks_of(nodes: &[Candidate], spread: &Spread) -> usize {
    let rack = |node: &&Candidate| node.rack.clone().unwrap_or_else(|| format!("alone {}", node.node));
    nodes.iter().filter(|c| spread.nodes.contains(&c.node)).map(|c| rack(&c)).collect::<BTreeSet<_>>().len()
}

proptest! {
    #[test]
    fn a_balance_levels_equal_nodes_with_the_fewest_moves_and_then_rests(
        old in 1usize..6,
        new in 0usize..5,
        replicas in 1usize..4,
        partitions in 0usize..40,
    ) {
        let all = nodes((old + new) as u64, |_| None);
        let Some(before) = spreads(&all, old, partitions, replicas) else { return Ok(()) };
        let load = loaded(&all, &before);
        let moves = balance(&load, &before);
        let after = moved(&before, &moves);
        let load_after = loaded(&all, &after);
        prop_assert!(spread(load_after.iter().map(|c| c.replicas)) <= 1, "{load_after:?}");
        let total = (partitions * replicas) as u64;
        let (least, most) = (total / all.len() as u64, total.div_ceil(all.len() as u64));
        let lacking: u64 = load.iter().map(|c| least.saturating_sub(c.replicas)).sum();
        let excess: u64 = load.iter().map(|c| c.replicas.saturating_sub(most)).sum();
        prop_assert_eq!(moves.len() as u64, lacking.max(excess), "more moves than needed");
        prop_assert_eq!(balance(&load_after, &after), Vec::new(), "what is level stays");
    }

    #[test]
    fn a_balance_never_costs_a_rack_and_wins_those_it_can(
        racks in prop::collection::vec(0u8..4, 3..9),
        old in 3usize..9,
        partitions in 1usize..30,
    ) {
        let all = nodes(racks.len() as u64, |n| Some(racks[n as usize - 1].to_string()));
        let Some(before) = spreads(&all, old, partitions, 3) else { return Ok(()) };
        let moves = balance(&loaded(&all, &before), &before);
        let after = moved(&before, &moves);
        let distinct = racks.iter().collect::<BTreeSet<_>>().len().min(3);
        for (was, is) in before.iter().zip(&after) {
            let (was, is) = (racks_of(&all, was), racks_of(&all, is));
            prop_assert!(is >= was);
            prop_assert!(is > was || is == distinct, "{was} racks stay {is} of {distinct}");
        }
    }

    #[test]
    fn replicas_on_nodes_out_of_use_stay_where_they_are(partitions in 1usize..30, out in 1u64..5) {
        let all = nodes(5, |_| None);
        let before = spreads(&all, 4, partitions, 3).unwrap();
        let rest: Vec<_> =
            loaded(&all, &before).into_iter().filter(|candidate| candidate.node != NodeId(out)).collect();
        for step in balance(&rest, &before) {
            prop_assert!(step.from != NodeId(out) && step.to != NodeId(out));
        }
    }
}

#[test]
fn a_plan_for_a_large_cluster_stops_at_what_one_command_takes() {
    let all = nodes(6, |n| Some(format!("rack {}", n % 3)));
    let before = spreads(&all, 3, 20_000, 3).unwrap();
    let moves = balance(&loaded(&all, &before), &before);
    assert_eq!(moves.len(), MOVES_PER_COMMAND_MAX);
    let after = moved(&before[..200], &moves.into_iter().filter(|m| m.group.0 <= 200).collect::<Vec<_>>());
    assert!(after.iter().all(|spread| racks_of(&all, spread) == 3));
}

/// Partitions of three replicas that are spread evenly over the first `old` nodes, and over the racks `n % 5`.
fn rings(partitions: u32, old: u64) -> Vec<Spread> {
    let spread = |group: u32| {
        // A ring of neighbours, the distance of which differs from round to round.
        let (first, round) = (u64::from(group) % old, u64::from(group) / old);
        let step = if round.is_multiple_of(5) { 1 } else { round % 5 };
        let nodes = (0..3).map(|n| NodeId(1 + (first + n * step) % old));
        Spread { group: GroupId(group), nodes: nodes.collect(), leader: Some(NodeId(1 + first)) }
    };
    (1..=partitions).map(spread).collect()
}

fn in_racks(count: u64, racks: u64) -> Vec<Candidate> {
    nodes(count, |n| Some(format!("rack {}", n % racks)))
}

fn fewest(load: &[Candidate]) -> u64 {
    let total: u64 = load.iter().map(|c| c.replicas).sum();
    let (least, most) = (total / load.len() as u64, total.div_ceil(load.len() as u64));
    let lacking: u64 = load.iter().map(|c| least.saturating_sub(c.replicas)).sum();
    let excess: u64 = load.iter().map(|c| c.replicas.saturating_sub(most)).sum();
    lacking.max(excess)
}

/// Balances, and holds the plan against what a plan promises: racks as good as can be, nodes level, a rest after it, and no
/// more looks than a few for each replica and each move. How many moves it has.
fn check_large(candidates: &[Candidate], before: &[Spread], racks: usize) -> u64 {
    let load = loaded(candidates, before);
    let balance = |candidates: Vec<Candidate>, partitions: &[Spread]| {
        Layout { candidates, racks: BTreeMap::new(), partitions: partitions.to_vec() }.balance()
    };
    let plan = balance(load, before);
    let moves = plan.moves.len() as u64;
    let after = moved(before, &plan.moves);
    let level = loaded(candidates, &after);
    assert!(after.iter().all(|spread| racks_of(candidates, spread) == racks.min(3)));
    assert!(spread(level.iter().map(|c| c.replicas)) <= 1, "{level:?}");
    let replicas = 3 * before.len() as u64;
    let nodes = candidates.len() as u64;
    let linear = LOOKS_PER_REPLICA * replicas + LOOKS_PER_MOVE_AND_NODE * moves * nodes + 4 * nodes * nodes;
    assert!(plan.looked_at <= linear, "{} looks for {moves} moves, {linear} at most", plan.looked_at);
    let rest = balance(level, &after);
    assert_eq!((rest.moves, rest.looked_at <= 4 * replicas), (Vec::new(), true));
    moves
}

/// What a plan may look at: the work is in proportion to what there is and to what moves, not to their product.
const LOOKS_PER_REPLICA: u64 = 4;
const LOOKS_PER_MOVE_AND_NODE: u64 = 4;

#[test]
fn a_cluster_of_20000_partitions_takes_two_more_nodes_in_with_the_fewest_moves() {
    let all = in_racks(52, 5);
    let before = rings(20_000, 50);
    let moves = check_large(&all, &before, 5);
    assert_eq!(moves, fewest(&loaded(&all, &before)));
}

#[test]
fn a_cluster_of_20000_partitions_that_is_even_rests() {
    assert_eq!(check_large(&in_racks(50, 5), &rings(20_000, 50), 5), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_large_cluster_is_spread_and_level_with_the_fewest_moves(
        fives in 3u64..12,
        new in 0u64..6,
        partitions in 500u32..3_000,
    ) {
        let all = in_racks(5 * fives + new, 5);
        let before = rings(partitions, 5 * fives);
        prop_assert_eq!(check_large(&all, &before, 5), fewest(&loaded(&all, &before)));
    }

    #[test]
    fn a_large_cluster_whose_racks_change_is_spread_and_level(racks in 2u64..5, partitions in 500u32..3_000) {
        // Placed with five racks in mind.
        check_large(&in_racks(60, racks), &rings(partitions, 60), racks as usize);
    }
}

/// Everything that `replicas` replicas of a partition could be on.
fn subsets(nodes: u64, replicas: usize) -> Vec<BTreeSet<NodeId>> {
    let all =
        (0..1u32 << nodes).map(|bits| (1..=nodes).filter(move |n| bits >> (n - 1) & 1 == 1).map(NodeId));
    all.map(Iterator::collect).filter(|set: &BTreeSet<NodeId>| set.len() == replicas).collect()
}

/// Racks that partitions have less than they could, and how uneven the nodes are.
fn badness(nodes: &[Candidate], sets: &[&BTreeSet<NodeId>], replicas: usize) -> (usize, u64) {
    let rack = |node: &NodeId| nodes[node.0 as usize - 1].rack.clone();
    let racks: BTreeSet<_> = nodes.iter().map(|candidate| candidate.rack.clone()).collect();
    let lacking = sets
        .iter()
        .map(|set| racks.len().min(replicas) - set.iter().map(rack).collect::<BTreeSet<_>>().len());
    let held = |node: &Candidate| sets.iter().filter(|set| set.contains(&node.node)).count() as u64;
    (lacking.sum(), nodes.iter().map(|node| held(node).pow(2)).sum())
}

proptest! {
    #[test]
    fn no_plan_with_fewer_moves_ends_as_well(
        racks in prop::collection::vec(0u8..3, 3..6),
        replicas in 1usize..4,
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let all = nodes(racks.len() as u64, |n| Some(racks[n as usize - 1].to_string()));
        let sets = subsets(racks.len() as u64, replicas);
        let before: Vec<Spread> = (1..)
            .zip(&picks)
            .map(|(group, pick)| {
                let nodes = pick.get(&sets).clone();
                Spread { group: GroupId(group), leader: nodes.first().copied(), nodes }
            })
            .collect();
        let moves = balance(&loaded(&all, &before), &before);
        let after = moved(&before, &moves);
        let ends: Vec<_> = after.iter().map(|spread| &spread.nodes).collect();
        let reached = badness(&all, &ends, replicas);
        // Every layout that is at least as good, and what it takes to get there.
        let mut best = usize::MAX;
        for at in 0..sets.len().pow(before.len() as u32) {
            let chosen: Vec<_> =
                (0..before.len() as u32).map(|part| &sets[at / sets.len().pow(part) % sets.len()]).collect();
            if badness(&all, &chosen, replicas) <= reached {
                let moves = before.iter().zip(&chosen).map(|(was, is)| was.nodes.difference(is).count());
                best = best.min(moves.sum());
            }
        }
        prop_assert_eq!(moves.len(), best, "{:?} from {:?}", moves, before);
    }
}

#[test]
fn nobody_moves_into_the_rack_of_a_replica_on_a_node_that_is_down() {
    // Two share rack a, and the third, on a node that is down, has rack b: nothing is to gain with another node of b.
    let all = nodes(4, |n| Some(if n <= 2 { "a" } else { "b" }.to_owned()));
    let spread = Spread { group: GroupId(1), nodes: (1..=3).map(NodeId).collect(), leader: Some(NodeId(1)) };
    let heard: Vec<_> =
        loaded(&all, std::slice::from_ref(&spread)).into_iter().filter(|c| c.node != NodeId(3)).collect();
    let down = BTreeMap::from([(NodeId(3), "b".to_owned())]);
    let layout = Layout { candidates: heard, racks: down, partitions: vec![spread] };
    assert_eq!(layout.balance().moves, []);
    let unknown = Layout { racks: BTreeMap::new(), ..layout };
    assert_eq!(unknown.balance().moves.len(), 1, "a rack of its own");
}
