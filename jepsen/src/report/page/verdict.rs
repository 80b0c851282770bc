//! The verdict, and what brings it about once more.

use maud::{Markup, html};

use super::{Page, badge, grouped, verdict_word};
use crate::report::scale::duration;
use crate::run::last_line;

/// The top of the page.
pub(super) fn banner(page: &Page) -> Markup {
    let report = &page.run.report;
    let figures = &report.figures;
    let name = page.run.name();
    html! {
        header class=(verdict_word(report.verdict)) {
            h1 { (badge(report.verdict)) " " span { (name) } }
            p.figures {
                span { b { (grouped(figures.ok)) } " ok" }
                span { b { (grouped(figures.fail)) } " failed" }
                span { b { (grouped(figures.info)) } " unknown" }
                span { b { (duration(figures.length)) } }
                span { b { (page.gathered.faults.spans().len()) } " faults" }
            }
            p { code { (last_line(report)) } }
            dl.commands {
                @for (what, command) in commands(page) { dt { (what) } dd { code { (command) } } }
            }
        }
    }
}

fn commands(page: &Page) -> Vec<(&'static str, String)> {
    let asked = page.run.command().map(|command| ("The same seed", command));
    let verb = |verb| format!("cargo run -p weir-jepsen --release -- {verb} {}", page.run.path());
    asked
        .into_iter()
        .chain([("The same faults", verb("replay")), ("The same history", verb("check"))])
        .collect()
}
