//! What each check found.

use maud::{Markup, html};
use weir_checker::{Checked, Findings, Report, Verdict};

use super::{badge, grouped};

/// One row per check that has something to say, the bad ones first; the others by name.
pub(super) fn table(report: &Report) -> Markup {
    let says = |checked: &&Checked| checked.findings != Findings::default();
    let (mut loud, quiet): (Vec<_>, Vec<_>) = report.checks.iter().partition(says);
    loud.sort_by_key(|checked| std::cmp::Reverse(checked.findings.verdict()));
    html! {
        @if report.checks.is_empty() { p { "No check was run." } }
        @if !loud.is_empty() {
            div.scroll {
                table.checks {
                    thead { tr { th { "check" } th { "verdict" } th.number { "anomalies" } th { "remarks" } } }
                    tbody { @for checked in loud { (row(checked)) } }
                }
            }
        }
        @if !quiet.is_empty() {
            p { (badge(Verdict::Valid)) " " (quiet.len()) " checks found nothing:" }
            ul.quiet { @for checked in quiet { li { (checked.name) } } }
        }
    }
}

fn row(checked: &Checked) -> Markup {
    let Checked { name, findings } = checked;
    let verdict = findings.verdict();
    let count = findings.anomalies.len() as u64 + findings.more;
    html! {
        tr {
            th scope="row" { (name) }
            td { (badge(verdict)) }
            td.number { (grouped(count)) }
            td {
                @if verdict == Verdict::Invalid { p { a href="#anomalies" { (names(checked)) } } }
                @for reason in &findings.unknown { p { b { "unknown: " } (reason) } }
                @for note in &findings.notes { p { (note) } }
            }
        }
    }
}

/// The names of its anomalies, each once.
fn names(checked: &Checked) -> String {
    let mut names: Vec<_> = checked.findings.anomalies.iter().map(|anomaly| anomaly.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}
