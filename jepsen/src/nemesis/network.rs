//! Links that do not carry, or carry badly.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use super::work::Work;
use crate::env::{Error, Link, Net, Result, Rule};

/// A rule for the links that fulfil a condition, among nodes only.
fn among_nodes(work: &Work<'_>, rule: Rule, breaks: impl Fn(usize, usize) -> bool) -> BTreeMap<Link, Rule> {
    let count = work.site().nodes().len();
    let links = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
    links.filter(|(from, to)| from != to && breaks(*from, *to)).map(|link| (link, rule)).collect()
}

/// The places of the nodes that the step befalls.
fn places(work: &Work<'_>) -> Result<Vec<usize>> {
    if work.site().options().net == Net::Plain {
        return Err(Error::Unable("on loopback there are no links to break".to_owned()));
    }
    work.node()?;
    let nodes = work.site().nodes();
    Ok(work.names().iter().filter_map(|name| nodes.iter().position(|node| node.name() == name)).collect())
}

fn during(work: &mut Work<'_>, rules: BTreeMap<Link, Rule>, detail: String) {
    work.begin_links(rules, detail);
    work.last();
    work.end("");
}

/// Halves, a ring in which everybody sees a majority but no two the same, or halves with a bridge.
pub(super) fn partition(work: &mut Work<'_>) -> Result<()> {
    let inside = places(work)?;
    let count = work.site().founders().len();
    let first = inside[0];
    let shapes: &[&str] =
        if count >= 4 { &["halves", "halves", "ring", "bridge"] } else { &["halves", "halves", "bridge"] };
    let shape = *shapes.choose(&mut work.dice).expect("there are shapes");
    // Founders around a circle that begins at the step's node; spares stand beside it and see everybody.
    let turn = |place: usize| (place + count - first) % count;
    let founder = |place: usize| place < count;
    let rules = match shape {
        "halves" => among_nodes(work, Rule::blocked(), |a, b| inside.contains(&a) != inside.contains(&b)),
        "ring" => among_nodes(work, Rule::blocked(), |a, b| {
            let apart = turn(a).abs_diff(turn(b));
            founder(a) && founder(b) && apart.min(count - apart) > count / 4
        }),
        _ => among_nodes(work, Rule::blocked(), |a, b| {
            // The step's node reaches all; of the others, an early and a late half do not reach each other.
            let late = |place: usize| turn(place) > count / 2;
            founder(a) && founder(b) && a != first && b != first && late(a) != late(b)
        }),
    };
    during(work, rules, shape.to_owned());
    Ok(())
}

/// Nothing from a node to the others, or nothing from the others to it.
pub(super) fn one_way(work: &mut Work<'_>) -> Result<()> {
    let inside = places(work)?;
    let outward = work.dice.random_bool(0.5);
    let rules = among_nodes(work, Rule::blocked(), |from, to| {
        let (inner, outer) = if outward { (from, to) } else { (to, from) };
        inside.contains(&inner) && !inside.contains(&outer)
    });
    during(work, rules, if outward { "nothing gets out" } else { "nothing gets in" }.to_owned());
    Ok(())
}

/// One link, both ways.
pub(super) fn single_link(work: &mut Work<'_>) -> Result<()> {
    let a = places(work)?[0];
    let others: Vec<usize> = (0..work.site().founders().len()).filter(|place| *place != a).collect();
    let b = others.choose(&mut work.dice).copied();
    let b = b.ok_or_else(|| Error::Unable("one node has no link to another".to_owned()))?;
    let rules = BTreeMap::from([((a, b), Rule::blocked()), ((b, a), Rule::blocked())]);
    during(work, rules, String::new());
    Ok(())
}

/// Links of the nodes, to nodes and clients alike, carry badly in one or several ways.
pub(super) fn chaos(work: &mut Work<'_>) -> Result<()> {
    let inside = places(work)?;
    let mut rule = Rule::default();
    let mut how = Vec::new();
    let ways = ["loss", "delay", "duplicate", "reorder", "bandwidth"];
    let first = *ways.choose(&mut work.dice).expect("there are ways");
    for way in ways {
        if way != first && !work.dice.random_bool(0.25) {
            continue;
        }
        match way {
            "loss" => rule.loss = work.dice.random_range(0.01..0.3),
            "delay" => {
                rule.delay = Duration::from_millis(work.dice.random_range(5..300));
                rule.jitter = Duration::from_millis(work.dice.random_range(0..200));
            }
            "duplicate" => rule.duplicate = work.dice.random_range(0.01..0.2),
            "reorder" => rule.reorder = work.dice.random_range(0.01..0.3),
            _ => rule.bandwidth = work.dice.random_range(16 << 10..4 << 20),
        }
        how.push(way);
    }
    let clients = work.site().clients_place();
    let mut rules = among_nodes(work, rule, |a, b| inside.contains(&a) || inside.contains(&b));
    rules.extend(inside.iter().flat_map(|node| [((*node, clients), rule), ((clients, *node), rule)]));
    let detail = format!(
        "{}: loss {:.2}, delay {} ms + {} ms, duplicate {:.2}, reorder {:.2}, bandwidth {} B/s",
        how.join("+"),
        rule.loss,
        rule.delay.as_millis(),
        rule.jitter.as_millis(),
        rule.duplicate,
        rule.reorder,
        rule.bandwidth,
    );
    during(work, rules, detail);
    Ok(())
}

/// Connections of the nodes break, in bursts with calm between them, so that some are made anew and break again.
pub(super) fn reset(work: &mut Work<'_>) -> Result<()> {
    const BURST: Duration = Duration::from_millis(200);
    const CALM: Duration = Duration::from_millis(800);
    let inside = places(work)?;
    let rule = Rule { reset: true, ..Rule::default() };
    let clients = work.site().clients_place();
    let mut rules = among_nodes(work, rule, |a, b| inside.contains(&a) || inside.contains(&b));
    rules.extend(inside.iter().flat_map(|node| [((*node, clients), rule), ((clients, *node), rule)]));
    let before = resets(work);
    work.begin_links(rules.clone(), "");
    let rounds = work.lasts().as_millis() / (BURST + CALM).as_millis();
    for round in 0..=rounds {
        if round > 0 {
            work.set_links(rules.clone());
        }
        let on = work.rest(BURST);
        work.set_links(BTreeMap::new());
        if !on || !work.rest(CALM) {
            break;
        }
    }
    let count = resets(work) - before;
    work.end(format!("{count} packets answered with resets"));
    Ok(())
}

fn resets(work: &Work<'_>) -> u64 {
    work.site().packets().map_or(0, |counts| counts.resets.load(std::sync::atomic::Ordering::Relaxed))
}

/// Clients and the nodes do not reach each other.
pub(super) fn client_cut(work: &mut Work<'_>) -> Result<()> {
    let inside = places(work)?;
    let clients = work.site().clients_place();
    let links = inside.iter().flat_map(|node| [(*node, clients), (clients, *node)]);
    let rules = links.map(|link| (link, Rule::blocked())).collect();
    during(work, rules, String::new());
    Ok(())
}
