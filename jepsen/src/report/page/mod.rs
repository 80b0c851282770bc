//! The page, section by section.

mod axis;
mod backlog;
mod cards;
mod chart;
mod checks;
mod digests;
mod lanes;
mod latency;
mod links;
mod lost;
mod options;
mod rates;
mod verdict;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use weir_checker::Verdict;
use weir_checker::story::Life;

use super::gather::Gathered;
use super::run::Run;
use super::scale::Time;

/// All that a page shows.
pub(super) struct Page<'a> {
    pub(super) run: &'a Run,
    pub(super) time: Time,
    pub(super) gathered: &'a Gathered,
    pub(super) lives: &'a [Life<'a>],
}

/// A section's anchor, name and content; those without content are left out.
type Section = (&'static str, &'static str, Option<Markup>);

impl Page<'_> {
    /// The whole file.
    pub(super) fn render(&self) -> String {
        let sections: [Section; 6] = [
            ("checks", "Checks", Some(checks::table(&self.run.report))),
            ("anomalies", "Anomalies", cards::section(self)),
            ("timeline", "Timeline", Some(self.timeline())),
            ("links", "Links", links::matrix(self)),
            ("replicas", "Replicas", digests::table(self)),
            ("options", "Options", Some(options::section(self.run))),
        ];
        let title = format!("{}: {}", verdict_word(self.run.report.verdict), self.run.name());
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) }
                    style { (PreEscaped(include_str!("page.css"))) }
                }
                body {
                    (verdict::banner(self))
                    nav aria-label="Contents" {
                        @for (anchor, name, _) in sections.iter().filter(|section| section.2.is_some()) {
                            a href={ "#" (anchor) } { (name) }
                        }
                    }
                    main {
                        @for (anchor, name, content) in &sections {
                            @if let Some(content) = content {
                                section id=(anchor) { h2 { (name) } (content) }
                            }
                        }
                    }
                    script { (PreEscaped(include_str!("page.js"))) }
                }
            }
        };
        page.into_string()
    }

    fn timeline(&self) -> Markup {
        html! {
            p.hint {
                "All charts share one time axis: seconds since the history began. Grey bands are faults, red lines are "
                "anomalies. " span.js { "Drag over a chart to look closer; double-click to see everything again." }
            }
            (latency::legend())
            div.charts data-length=(self.time.length()) {
                (chart::shared(self))
                (axis::row(self))
                (lanes::faults(self))
                (lost::lane(self))
                (lanes::leaders(self))
                (rates::charts(self))
                (latency::charts(self))
                (backlog::charts(self))
                (lanes::links(self))
            }
        }
    }

    /// The place of a node among all, which gives it its colour.
    fn color(&self, node: &str) -> usize {
        self.nodes().iter().position(|other| *other == node).unwrap_or(0) % COLORS
    }

    /// All nodes that the history names as leaders or replicas, in order.
    fn nodes(&self) -> Vec<&str> {
        let mut nodes = self.gathered.leaders.nodes();
        nodes.extend(
            self.gathered.digests.partitions().values().flat_map(|held| held.keys().map(String::as_str)),
        );
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

/// Colours that nodes are told apart by; a name stands beside each.
const COLORS: usize = 7;

/// As on the command line.
pub(super) fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Unknown => "unknown",
        Verdict::Invalid => "invalid",
    }
}

/// A verdict by word, colour and sign.
fn badge(verdict: Verdict) -> Markup {
    let sign = match verdict {
        Verdict::Valid => "✓",
        Verdict::Unknown => "?",
        Verdict::Invalid => "✗",
    };
    html! { span class={ "badge " (verdict_word(verdict)) } { (sign) " " (verdict_word(verdict)) } }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}
