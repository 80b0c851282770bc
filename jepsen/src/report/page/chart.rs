//! What all charts have in common.

use std::fmt::Write as _;

use maud::{Markup, html};
use weir_checker::Micros;

use super::Page;
use crate::report::scale::{HEIGHT, WIDTH, seconds, short};

/// A line or band on a chart that is narrower than this is drawn so wide, in units of the chart.
const NARROWEST: f64 = 1.0;

/// How high a chart is.
#[derive(Clone, Copy)]
pub(super) enum Size {
    /// A lane: one bar.
    Lane,
    /// A lane among very many.
    Thin,
    /// A line or an area.
    Low,
    /// A cloud of dots.
    Tall,
}

/// One chart: its name and remarks, its content, text over it.
pub(super) struct Chart<'a> {
    pub(super) name: &'a str,
    pub(super) remark: Markup,
    pub(super) size: Size,
    /// What the scale says, from 0 (top) to 100 (bottom).
    pub(super) scale: Vec<(f64, String)>,
    /// SVG.
    pub(super) content: Markup,
    /// Text on the chart: where from, how wide, what.
    pub(super) tags: Vec<(f64, f64, String)>,
}

impl Chart<'_> {
    /// As HTML.
    pub(super) fn draw(self) -> Markup {
        let size = match self.size {
            Size::Lane => "lane",
            Size::Thin => "thin",
            Size::Low => "low",
            Size::Tall => "tall",
        };
        html! {
            figure class=(size) {
                figcaption { b { (self.name) } " " (self.remark) }
                div.plot {
                    @for (y, text) in &self.scale { span.y style={ "top:" (short(*y)) "%" } { (text) } }
                    div.area {
                        svg.time viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label=(self.name) {
                            use href="#shade" {}
                            (self.content)
                            use href="#marks" {}
                        }
                        @for (x, width, text) in &self.tags { (tag(*x, *width, text)) }
                    }
                }
            }
        }
    }
}

/// Text at a place of the time axis; it is cut where it would run over its width.
pub(super) fn tag(x: f64, width: f64, text: &str) -> Markup {
    let (left, share) = (short(x * 100.0 / WIDTH), short(width * 100.0 / WIDTH));
    html! {
        span.tag data-x=(short(x)) data-w=(short(width)) style={ "left:" (left) "%;width:" (share) "%" } { (text) }
    }
}

/// A bar from top to bottom.
pub(super) fn bar(class: &str, (left, right): (f64, f64), title: &str) -> Markup {
    let width = (right - left).max(NARROWEST);
    html! {
        rect class=(class) x=(short(left)) y="0" width=(short(width)) height=(HEIGHT) { title { (title) } }
    }
}

/// Lines of a path through places; a gap interrupts it.
pub(super) fn line(places: impl IntoIterator<Item = Option<(f64, f64)>>) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    for place in places {
        if let Some((x, y)) = place {
            path.push(if pen_down { 'L' } else { 'M' });
            let _ = write!(path, "{} {}", short(x), short(y));
        }
        pen_down = place.is_some();
    }
    path
}

/// The same stroke from each of these places, such as `v100`: straight down.
pub(super) fn strokes(places: impl IntoIterator<Item = (f64, f64)>, stroke: &str) -> String {
    let mut path = String::new();
    for (x, y) in places {
        // Writing to a string does not fail.
        let _ = write!(path, "M{} {}{stroke}", short(x), short(y));
    }
    path
}

/// A chart of one number over time, by equal parts of the run, as an area under a line. Its scale ends at its largest.
pub(super) fn area(numbers: &[f64], class: &str, top: f64) -> Markup {
    let step = WIDTH / numbers.len() as f64;
    let top = if top > 0.0 { top } else { 1.0 };
    let y = |number: f64| HEIGHT - number / top * HEIGHT;
    let places = numbers.iter().zip(0_u32..).flat_map(|(number, part)| {
        let left = f64::from(part) * step;
        [Some((left, y(*number))), Some((left + step, y(*number)))]
    });
    let path = line(places);
    html! {
        path class={ "under " (class) } d={ (path) "L1000 100L0 100Z" } {}
        path class={ "line " (class) } d=(path) {}
    }
}

/// What all charts have behind and before their content, drawn once and used by each.
pub(super) fn shared(page: &Page) -> Markup {
    let time = page.time;
    let grid = strokes(time.ticks().map(|tick| (time.x(tick), 0.0)), "v100");
    let phases = strokes(page.gathered.phases.iter().map(|(at, _)| (time.x(*at), 0.0)), "v100");
    html! {
        svg.shared width="0" height="0" aria-hidden="true" {
            defs {
                g #shade {
                    @for span in page.gathered.faults.spans() {
                        (bar("band", (time.x(span.from), time.x(span.until(time.length()))), &span.title()))
                    }
                    path #grid d=(grid) {}
                    path.phases d=(phases) {}
                }
                g #marks { @for anomaly in page.run.report.anomalies() { (mark(time.x(anomaly.at), anomaly.at, &anomaly.name)) } }
            }
        }
    }
}

fn mark(x: f64, at: Micros, name: &str) -> Markup {
    html! { path.mark d={ "M" (short(x)) " 0v100" } { title { (name) " at " (seconds(at)) } } }
}
