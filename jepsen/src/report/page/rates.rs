//! How many operations per second ended how. Each outcome has a scale of its own: a few failures among thousands of
//! successes are to be seen.

use maud::{Markup, html};
use weir_checker::Outcome;

use super::Page;
use super::chart::{Chart, Size, area};
use super::latency::word;

/// One chart per outcome that occurred.
pub(super) fn charts(page: &Page) -> Markup {
    html! {
        h3 { "Operations per second" }
        @for outcome in [Outcome::Ok, Outcome::Fail, Outcome::Info] {
            @let numbers = page.gathered.rates.per_second(outcome);
            @let top = numbers.iter().copied().fold(0.0, f64::max);
            @if top > 0.0 {
                (Chart {
                    name: word(outcome),
                    remark: html! {},
                    size: Size::Low,
                    scale: vec![(0.0, format!("{top:.0}/s")), (100.0, "0".to_owned())],
                    content: area(&numbers, word(outcome), top),
                    tags: Vec::new(),
                }.draw())
            }
        }
    }
}
