//! What the harness itself lost sight of, and nodes that ended when nobody had asked them to.

use maud::{Markup, html};
use weir_checker::{Lost, Micros};

use super::Page;
use super::chart::{Chart, Size, bar};
use crate::report::scale::{duration, seconds};

/// A lane with all of it, and the words beneath; nothing if nothing was lost.
pub(super) fn lane(page: &Page) -> Markup {
    let lost = &page.gathered.lost;
    html! {
        @if !lost.is_empty() {
            h3 { "What the harness lost" }
            (Chart {
                name: "harness",
                remark: html! { small { (lost.len()) " ×" } },
                size: Size::Lane,
                scale: Vec::new(),
                content: html! { @for (at, what) in lost { (mark(page, *at, what)) } },
                tags: Vec::new(),
            }.draw())
            details {
                summary { "In words" }
                ul.steps { @for (at, what) in lost { li { (seconds(*at)) ": " (words(what)) } } }
            }
        }
    }
}

fn mark(page: &Page, at: Micros, what: &Lost) -> Markup {
    // A stall is written down when it is over.
    let lasted = if let Lost::Stall(lasted) = what { *lasted } else { 0 };
    let title = format!("{} {}", seconds(at), words(what));
    bar("lost", (page.time.x(at.saturating_sub(lasted)), page.time.x(at)), &title)
}

fn words(what: &Lost) -> String {
    match what {
        Lost::Stall(lasted) => format!("the harness did not run for {}", duration(*lasted)),
        Lost::Task(text) => format!("a task failed: {text}"),
        Lost::Node { node, line } => format!("{node}: {line}"),
    }
}
