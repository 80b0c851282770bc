//! One card per anomaly: what is wrong, the life line of what it is about, and every operation of it.

use std::collections::BTreeMap;

use maud::{Markup, html};
use weir_checker::story::{Life, describe};
use weir_checker::{Event, Micros, Process};

use super::Page;
use super::latency::word;
use crate::report::gather::Span;
use crate::report::scale::{duration, seconds, short};
use crate::report::squeeze::Squeezed;

/// A wait on a life line is named when it takes at least this share of it, in percent.
const WAIT_NAMED_PERCENT: f64 = 6.0;
/// The faults of a life line begin or end at most this long before and after it, in microseconds.
const AROUND: Micros = 2_000_000;

/// An operation with its line and its number on the card, from 1.
struct Numbered<'a> {
    number: usize,
    line: u64,
    event: &'a Event,
    proof: bool,
}

/// All cards; None when there are none.
pub(super) fn section(page: &Page) -> Option<Markup> {
    let all = page.run.report.anomalies().count();
    (all > 0).then(|| html! {
        @if all > page.lives.len() {
            p.hint { (page.lives.len()) " of the " (all) " listed anomalies are shown here: the first ones of every name." }
        }
        @for (place, life) in page.lives.iter().enumerate() { (card(page, place + 1, life)) }
    })
}

fn card(page: &Page, place: usize, life: &Life) -> Markup {
    let anomaly = life.anomaly;
    let operations: Vec<_> = (1..)
        .zip(&life.events)
        .map(|(number, (line, event))| Numbered {
            number,
            line: *line,
            event,
            proof: anomaly.evidence.contains(line),
        })
        .collect();
    html! {
        article.card id={ "anomaly-" (place) } {
            h3 { span.check { (anomaly.check) } " " (anomaly.name) " " small { (anomaly.topic) " " (anomaly.subject) } }
            p { (anomaly.text) }
            p.hint {
                "Proved at " (seconds(anomaly.at)) ". "
                a.zoom href="#timeline" data-at=(anomaly.at) { "Show on the timeline" }
            }
            @if operations.is_empty() { p.hint { "No operation of its own proves it." } }
            @else { (life_line(page, &operations)) (table(page, life, &operations)) }
            dl.commands {
                dt { "Judge again" } dd { code { "cargo run -p weir-jepsen --release -- check " (page.run.path()) } }
                @if !anomaly.evidence.is_empty() {
                    dt { "Read the proof" } dd { code { (proof_command(page, &anomaly.evidence)) } }
                }
            }
        }
    }
}

/// Prints the lines that prove it.
fn proof_command(page: &Page, evidence: &[u64]) -> String {
    let lines: Vec<_> = evidence.iter().map(|line| format!("{}p", line + 1)).collect();
    format!("sed -n '{}' {}/history.jsonl", lines.join(";"), page.run.path())
}

fn life_line(page: &Page, operations: &[Numbered]) -> Markup {
    let first = operations.iter().map(|operation| operation.event.from).min().unwrap_or(0);
    let last = operations
        .iter()
        .map(|operation| operation.event.to.unwrap_or(operation.event.from))
        .max()
        .unwrap_or(0);
    let faults = around(page, first, last);
    let moments = operations.iter().flat_map(|operation| [Some(operation.event.from), operation.event.to]);
    let clip = |at: Micros| at.clamp(first, last);
    let ends = faults.iter().flat_map(|span| [clip(span.from), clip(span.until(page.time.length()))]);
    let axis = Squeezed::new(moments.flatten().chain(ends).collect());
    let mut lanes: BTreeMap<(Process, &str), Vec<&Numbered>> = BTreeMap::new();
    for operation in operations {
        let node = operation.event.node.as_deref().unwrap_or("");
        lanes.entry((operation.event.process, node)).or_default().push(operation);
    }
    // Who was first stands on top: a life reads from there to the lower right.
    let mut lanes: Vec<_> = lanes.into_iter().collect();
    lanes.sort_by_key(|(_, operations)| operations.iter().map(|operation| operation.event.from).min());
    html! {
        div.life role="img" aria-label="Life line" {
            (waits(&axis, first, last))
            @for span in &faults {
                (fault(&axis, (clip(span.from), clip(span.until(page.time.length()))), span))
            }
            @for ((process, node), operations) in &lanes {
                div.life-lane {
                    span.who { (who(*process)) @if !node.is_empty() { " " small { (node) } } }
                    div.life-area { @for operation in operations { (bar(&axis, operation)) } }
                }
            }
        }
    }
}

fn who(process: Process) -> String {
    if process.0 == 0 { "harness".to_owned() } else { format!("process {}", process.0) }
}

/// The faults that went on meanwhile, or shortly before.
fn around<'a>(page: &Page<'a>, first: Micros, last: Micros) -> Vec<&'a Span> {
    let near = |span: &&Span| span.from <= last + AROUND && span.until(page.time.length()) + AROUND >= first;
    page.gathered.faults.spans().iter().filter(near).collect()
}

/// How long nothing happened, above the line: the axis is not even.
fn waits(axis: &Squeezed, first: Micros, last: Micros) -> Markup {
    html! {
        div.life-lane.waits {
            span.who { small { (seconds(first)) " to " (seconds(last)) } }
            div.life-area {
                @for (left, right, wait) in axis.waits(WAIT_NAMED_PERCENT) {
                    span.wait style={ "left:" (short(left)) "%;width:" (short(right - left)) "%" } { (duration(wait)) }
                }
            }
        }
    }
}

fn fault(axis: &Squeezed, (from, to): (Micros, Micros), span: &Span) -> Markup {
    let (left, right) = (axis.x(from), axis.x(to));
    html! {
        div.life-lane.life-fault {
            span.who { small { (span.fault.kind) " " (span.fault.nodes.join(" ")) } }
            div.life-area {
                span.fault-bar title=(span.title()) style={ "left:" (short(left)) "%;width:" (short(right - left)) "%" } {}
            }
        }
    }
}

fn bar(axis: &Squeezed, operation: &Numbered) -> Markup {
    let event = operation.event;
    let left = axis.x(event.from);
    let right = event.to.map_or(100.0, |to| axis.x(to));
    let open = if event.to.is_none() { " open" } else { "" };
    let proof = if operation.proof { " proof" } else { "" };
    html! {
        span class={ "op " (word(event.outcome)) (open) (proof) }
            style={ "left:" (short(left)) "%;width:" (short(right - left)) "%" }
            title={ (describe::kind(&event.op)) ", " (word(event.outcome)) } { b { (operation.number) } }
    }
}

fn table(page: &Page, life: &Life, operations: &[Numbered]) -> Markup {
    html! {
        div.scroll {
            table.ops {
                thead {
                    tr {
                        th.number { "no." } th.number title="of the history, from 0" { "line" } th.number { "from" } th.number { "took" } th { "process" }
                        th { "node" } th { "outcome" } th { "operation" }
                    }
                }
                tbody { @for operation in operations { (row(page, life, operation)) } }
            }
        }
        @if life.more > 0 { p.hint { "… and " (life.more) " more operations that touch it, further away from the proof." } }
    }
}

fn row(page: &Page, life: &Life, operation: &Numbered) -> Markup {
    let event = operation.event;
    let node = event.node.as_deref().unwrap_or("");
    let took = event.to.map_or_else(|| "open".to_owned(), |to| duration(to.saturating_sub(event.from)));
    html! {
        tr class=[operation.proof.then_some("proof")] {
            td.number { b { (operation.number) } }
            td.number { (operation.line) }
            td.number { (seconds(event.from)) }
            td.number { (took) }
            td { (event.process.0) }
            td { @if !node.is_empty() { span class={ "key n" (page.color(node)) } { (node) } } }
            td { span class={ "outcome " (word(event.outcome)) } { (word(event.outcome)) } }
            td {
                (describe::words(&event.op, &life.trace))
                @if let Some(error) = &event.error { br; small { (error) } }
            }
        }
    }
}
