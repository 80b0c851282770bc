//! How long operations took: a cloud of dots, with quantiles as lines.

use maud::{Markup, html};
use weir_checker::Outcome;
use weir_checker::story::describe::KINDS;

use super::chart::{Chart, Size, line, strokes};
use super::{Page, grouped};
use crate::report::gather::{Latency, OUTCOMES, WEIGHTS};
use crate::report::scale::{HEIGHT, duration};

/// The quantiles that are drawn, and their names.
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (1.0, "max")];

/// Fewer operations than this make a low chart.
const RARE_MAX: u64 = 200;

/// What dots and lines mean.
pub(super) fn legend() -> Markup {
    html! {
        p.legend {
            @for outcome in OUTCOMES {
                span { (sample(outcome)) (word(outcome)) }
            }
            @for (_, name) in QUANTILES {
                span {
                    svg.sample viewBox="0 0 24 12" aria-hidden="true" { path class={ "quantile " (name) } d="M0 6h24" {} }
                    (name) " of what succeeded"
                }
            }
        }
    }
}

/// One chart per kind of operation.
pub(super) fn charts(page: &Page) -> Markup {
    let mut kinds: Vec<_> = page.gathered.latencies.iter().collect();
    kinds.sort_by_key(|(kind, _)| KINDS.iter().position(|other| other == kind));
    html! {
        @if !kinds.is_empty() { h3 { "Latency" } }
        @for (kind, latency) in kinds {
            (Chart {
                name: kind,
                remark: remark(latency),
                size: size(latency),
                scale: scale(size(latency)),
                content: html! { (rules()) (dots(latency)) (quantiles(latency)) },
                tags: Vec::new(),
            }.draw())
        }
    }
}

fn remark(latency: &Latency) -> Markup {
    let [ok, info, fail] = latency.counts;
    let quantiles = [("p50", 0.5), ("p99", 0.99)].map(|(name, q)| (name, latency.overall(q)));
    html! {
        small {
            (grouped(ok)) " ok"
            @if fail > 0 { " · " (grouped(fail)) " failed" }
            @if info > 0 { " · " (grouped(info)) " unknown" }
            @for (name, length) in quantiles { @if let Some(length) = length { " " br; (name) " " (duration(length)) } }
        }
    }
}

/// A horizontal line per power of ten.
fn rules() -> Markup {
    let rules = strokes((1..6).map(|decade| (0.0, f64::from(decade) * HEIGHT / 6.0)), "h1000");
    html! { path.rules d=(rules) {} }
}

/// What was done rarely takes less room.
fn size(latency: &Latency) -> Size {
    if latency.counts.iter().sum::<u64>() < RARE_MAX { Size::Low } else { Size::Tall }
}

fn scale(size: Size) -> Vec<(f64, String)> {
    let names = ["100 s", "10 s", "1 s", "100 ms", "10 ms", "1 ms", "≤ 0.1 ms"];
    let named = (0_u32..).zip(names).filter(|(decade, _)| matches!(size, Size::Tall) || decade % 3 == 0);
    named.map(|(decade, name)| (f64::from(decade) * HEIGHT / 6.0, name.to_owned())).collect()
}

/// Dots are lines without length, whose ends are round or square: their shape stays when the chart is stretched.
fn dots(latency: &Latency) -> Markup {
    html! {
        @for (place, outcome) in OUTCOMES.into_iter().enumerate() {
            @for weight in 0..WEIGHTS.len() {
                @let path = strokes(latency.dots(place, weight), "h0");
                @if !path.is_empty() { (shape(outcome, weight, &path)) }
            }
        }
    }
}

fn shape(outcome: Outcome, weight: usize, path: &str) -> Markup {
    html! {
        path class={ "dot " (word(outcome)) " w" (weight) } d=(path) {}
        @if outcome == Outcome::Info { path.dot.hole d=(path) {} }
    }
}

fn sample(outcome: Outcome) -> Markup {
    html! { svg.sample viewBox="0 0 24 12" aria-hidden="true" { (shape(outcome, 2, "M12 6h0")) } }
}

fn quantiles(latency: &Latency) -> Markup {
    html! {
        @for (quantile, name) in QUANTILES {
            path class={ "quantile " (name) } d=(line(latency.quantile(quantile))) { title { (name) } }
        }
    }
}

/// An outcome as the page says it.
pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Fail => "failed",
        Outcome::Info => "unknown",
    }
}
