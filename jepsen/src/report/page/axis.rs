//! The time axis that stays in view, with the run's phases.

use maud::{Markup, html};
use weir_checker::Phase;

use super::Page;
use super::chart::tag;
use crate::report::scale::{WIDTH, short};

/// Beyond this place a tick's number stands left of it, so that it stays on the page.
const TICK_LAST: f64 = 970.0;

/// The row above all charts.
pub(super) fn row(page: &Page) -> Markup {
    let time = page.time;
    let phases = &page.gathered.phases;
    let ends = phases.iter().skip(1).map(|(at, _)| time.x(*at)).chain([WIDTH]);
    html! {
        div.axis {
            div.clock { span { "seconds" } }
            div.plot {
                div.area.phase-names {
                    @for ((at, phase), end) in phases.iter().zip(ends) {
                        (tag(time.x(*at), end - time.x(*at), name(*phase)))
                    }
                }
                div.area.ticks {
                    @for tick in time.ticks() {
                        span class={ "tick" @if time.x(tick) > TICK_LAST { " last" } }
                            style={ "left:" (short(time.x(tick) * 100.0 / WIDTH)) "%" } { (tick / 1_000_000) }
                    }
                }
            }
        }
    }
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Warm => "warm",
        Phase::Main => "main",
        Phase::Quiet => "quiet",
        Phase::Healed => "healed",
        Phase::Recovery => "recovery",
        Phase::Drain => "drain",
        Phase::End => "end",
    }
}
