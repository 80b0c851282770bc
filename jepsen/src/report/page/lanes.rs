//! Lanes: bars over time.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::Page;
use super::chart::{Chart, Size, bar};
use crate::report::gather::{Reign, Span};
use crate::report::scale::{duration, seconds};

/// Most lanes of one sort; those where most happened are shown.
const LANES_MAX: usize = 64;

/// One lane per kind of fault.
pub(super) fn faults(page: &Page) -> Markup {
    let kinds = page.gathered.faults.by_kind();
    html! {
        @if !kinds.is_empty() { h3 { "Faults" } }
        @for (kind, spans) in kinds {
            (Chart {
                name: kind,
                remark: html! { small { (spans.len()) " ×" } },
                size: Size::Lane,
                scale: Vec::new(),
                content: html! { @for span in &spans { (fault(page, "fault", span)) } },
                tags: spans.iter().map(|span| name_of(page, span)).collect(),
            }.draw())
        }
    }
}

/// One lane per directed link that was ever bad.
pub(super) fn links(page: &Page) -> Markup {
    let mut links: Vec<_> = page.gathered.faults.by_link().into_iter().collect();
    let hidden = shorten(&mut links, |(_, spans)| spans.len());
    html! {
        @if !links.is_empty() { h3 { "Links that did not carry, or carried badly" } }
        @for ((from, to), spans) in &links {
            @let name = format!("{from} → {to}");
            (Chart {
                name: &name,
                remark: html! {},
                size: Size::Thin,
                scale: Vec::new(),
                content: html! { @for span in spans { (fault(page, "link", span)) } },
                tags: Vec::new(),
            }.draw())
        }
        (more(hidden, "links"))
    }
}

/// One lane per partition: who led it, in which term.
pub(super) fn leaders(page: &Page) -> Markup {
    let mut lanes: Vec<_> = page.gathered.leaders.partitions().iter().collect();
    let hidden = shorten(&mut lanes, |(_, terms)| terms.len());
    html! {
        @if !lanes.is_empty() {
            h3 { "Leaders and terms" }
            p.hint {
                "Each bar reaches from when a leader was first seen in its term to when the next one was seen"
                @if seen_again(page) { "; it is pale where the leader itself was not seen any more" }
                "."
                @for node in page.gathered.leaders.nodes() {
                    " " span class={ "key n" (page.color(node)) } { (node) }
                }
            }
        }
        @for ((topic, partition), terms) in lanes {
            @let name = format!("{topic} {partition}");
            @let reigns: Vec<_> = terms.iter().collect();
            (Chart {
                name: &name,
                remark: html! { small { (terms.len()) @if terms.len() == 1 { " term" } @else { " terms" } } },
                size: Size::Lane,
                scale: Vec::new(),
                content: html! {
                    @for (place, (term, reign)) in reigns.iter().enumerate() {
                        (reign_bars(page, **term, reign, reigns.get(place + 1).map(|next| next.1)))
                    }
                },
                tags: reigns.iter().enumerate().map(|(place, (term, reign))| {
                    let until = reigns.get(place + 1).map_or_else(|| page.time.length(), |next| next.1.first);
                    let left = page.time.x(reign.first);
                    (left, (page.time.x(until) - left).max(0.0), format!("{} · {term}", reign.leader))
                }).collect(),
            }.draw())
        }
        (more(hidden, "partitions"))
    }
}

fn reign_bars(page: &Page, term: u64, reign: &Reign, next: Option<&Reign>) -> Markup {
    let time = page.time;
    let until = next.map_or_else(|| time.length(), |next| next.first).max(reign.last);
    let title = format!(
        "{} in term {term}, seen from {} to {}; next after {}",
        reign.leader,
        seconds(reign.first),
        seconds(reign.last),
        duration(until - reign.last),
    );
    // Where leaders are told only when they change, nobody knows when the old one was gone.
    let last = if seen_again(page) { reign.last } else { until };
    let (first, last, end) = (time.x(reign.first), time.x(last), time.x(until));
    let class = format!("n{}", page.color(&reign.leader));
    html! {
        (bar(&format!("{class} pale"), (last, end), &title))
        (bar(&class, (first, last), &title))
    }
}

/// Whether the run looked at leaders again and again, and not only noted changes.
fn seen_again(page: &Page) -> bool {
    let mut reigns = page.gathered.leaders.partitions().values().flat_map(BTreeMap::values);
    reigns.any(|reign| reign.last > reign.first)
}

fn fault(page: &Page, class: &str, span: &Span) -> Markup {
    let until = span.until(page.time.length());
    let fault = &span.fault;
    let majority = if fault.majority { "a majority is well" } else { "no majority is well" };
    let end = if span.to.is_some() { "" } else { ", never said to be over" };
    let title = format!(
        "{}\n{} to {} ({}{end})\n{} partitions led, {} followed; {majority}",
        span.title(),
        seconds(span.from),
        seconds(until),
        duration(until - span.from),
        fault.led,
        fault.followed,
    );
    bar(class, (page.time.x(span.from), page.time.x(until)), &title)
}

/// Where a fault's nodes are named.
fn name_of(page: &Page, span: &Span) -> (f64, f64, String) {
    let left = page.time.x(span.from);
    (left, page.time.x(span.until(page.time.length())) - left, span.fault.nodes.join(" "))
}

/// Keeps the lanes with the largest weights, in their order, and says how many went.
fn shorten<T>(lanes: &mut Vec<T>, weight: impl Fn(&T) -> usize) -> usize {
    let mut weights: Vec<_> = lanes.iter().map(&weight).collect();
    weights.sort_unstable_by(|a, b| b.cmp(a));
    let Some(least) = weights.get(LANES_MAX).copied() else { return 0 };
    let before = lanes.len();
    let mut room = LANES_MAX - weights.iter().filter(|weight| **weight > least).count();
    lanes.retain(|lane| {
        let weight = weight(lane);
        let tied = weight == least && room > 0;
        room -= usize::from(tied);
        weight > least || tied
    });
    before - lanes.len()
}

fn more(hidden: usize, what: &str) -> Markup {
    html! { @if hidden > 0 { p.hint { "… and " (hidden) " more " (what) ", where less happened." } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_lanes_stay_in_their_order() {
        let mut lanes: Vec<usize> =
            (0..200).map(|lane| usize::from(lane % 4 == 0) * 2 + usize::from(lane == 199)).collect();
        assert_eq!(shorten(&mut lanes, |weight| *weight), 200 - LANES_MAX);
        assert_eq!(lanes.len(), LANES_MAX);
        assert_eq!(lanes.iter().filter(|weight| **weight == 2).count(), 50);
        assert_eq!(lanes.last(), Some(&1));
    }
}
