//! Who could not reach whom, and for how long in all.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use weir_checker::Micros;

use super::Page;
use crate::report::scale::duration;

/// One row per sender, one column per receiver; None when every link was well.
pub(super) fn matrix(page: &Page) -> Option<Markup> {
    let links = page.gathered.faults.by_link();
    let length = page.time.length();
    let cut: BTreeMap<_, _> = links
        .iter()
        .map(|(link, spans)| (*link, union(spans.iter().map(|span| (span.from, span.until(length))))))
        .collect();
    let ends: BTreeSet<&str> = cut.keys().flat_map(|(from, to)| [*from, *to]).collect();
    (!cut.is_empty()).then(|| {
        html! {
            p.hint { "For how long in all the link from a row to a column did not carry, or carried badly." }
            div.scroll {
                table.matrix {
                    thead { tr { th { "from ╲ to" } @for to in &ends { th scope="col" { (to) } } } }
                    tbody {
                        @for from in &ends {
                            tr {
                                th scope="row" { (from) }
                                @for to in &ends { (cell(cut.get(&(*from, *to)).copied(), length)) }
                            }
                        }
                    }
                }
            }
        }
    })
}

fn cell(cut: Option<Micros>, length: Micros) -> Markup {
    let Some(cut) = cut else { return html! { td { "·" } } };
    let share = (cut * 100 / length.max(1)).clamp(8, 70);
    html! { td.cut style={ "--share:" (share) "%" } { (duration(cut)) } }
}

/// How long it is in all that at least one of these goes on.
fn union(spans: impl Iterator<Item = (Micros, Micros)>) -> Micros {
    let mut spans: Vec<_> = spans.collect();
    spans.sort_unstable();
    let mut covered = 0;
    let mut whole = 0;
    for (from, to) in spans {
        whole += to.saturating_sub(from.max(covered));
        covered = covered.max(to);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_faults_count_once() {
        assert_eq!(union([(10, 20), (0, 5), (15, 30), (16, 17)].into_iter()), 25);
    }
}
