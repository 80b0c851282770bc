//! What the replicas held at the end.

use maud::{Markup, html};

use super::{Page, grouped};
use crate::report::gather::{Held, agree};

/// Letters of a hash that tell it apart.
const HASH_LETTERS: usize = 16;

/// One row per replica; None when none was looked at.
pub(super) fn table(page: &Page) -> Option<Markup> {
    let partitions = page.gathered.digests.partitions();
    (!partitions.is_empty()).then(|| html! {
        div.scroll {
            table {
                thead {
                    tr {
                        th { "partition" } th { "node" } th.number { "applied" } th { "hash" } th { "holds" } th { "replicas" }
                    }
                }
                @for ((topic, partition), replicas) in partitions {
                    @let agree = agree(replicas);
                    tbody {
                        @for (row, (node, held)) in replicas.iter().enumerate() {
                            tr class=[(!agree).then_some("bad")] {
                                @if row == 0 { th scope="rowgroup" rowspan=(replicas.len()) { (topic) " " (partition) } }
                                td { span class={ "key n" (page.color(node)) } { (node) } }
                                td.number { (grouped(held.applied)) }
                                td { code title=(held.hash) { (short(&held.hash)) } }
                                td { (content(held)) }
                                @if row == 0 { td rowspan=(replicas.len()) { (verdict(replicas.values(), agree)) } }
                            }
                        }
                    }
                }
            }
        }
    })
}

fn verdict<'a>(mut replicas: impl Iterator<Item = &'a Held>, agree: bool) -> &'static str {
    let first = replicas.next().map(|held| held.applied);
    match (agree, replicas.all(|held| Some(held.applied) == first)) {
        (false, _) => "✗ differ at the same index",
        (true, true) => "✓ equal",
        (true, false) => "✓ none differ at the same index",
    }
}

fn short(hash: &str) -> String {
    hash.chars().take(HASH_LETTERS).collect()
}

fn content(held: &Held) -> String {
    let [ready, leased, parked] = held.messages;
    held.bounds.map_or_else(
        || format!("{ready} ready, {leased} leased, {parked} parked"),
        |(start, end)| format!("offsets {start} to {end}"),
    )
}
