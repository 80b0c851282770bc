//! How far consumers were behind producers.

use maud::{Markup, html};
use weir_checker::Micros;

use super::chart::{Chart, Size, area};
use super::{Page, grouped};
use crate::report::scale::duration;

/// Two charts per topic: how much nobody has seen yet, and how old the oldest of it is.
pub(super) fn charts(page: &Page) -> Markup {
    let mut topics = page.gathered.backlog.topics(page.time).peekable();
    html! {
        @if topics.peek().is_some() { h3 { "Acknowledged to producers, not yet seen by a consumer" } }
        @for (topic, behind) in topics {
            @let most = behind.unseen.iter().copied().max().unwrap_or(0);
            @let left = behind.unseen.last().copied().unwrap_or(0);
            (chart(topic, &format!("unseen; {} at the end", grouped(left)), grouped(most), &behind.unseen))
            @let oldest = behind.oldest.iter().copied().max().unwrap_or(0);
            (chart(topic, "age of the oldest", duration(oldest), &behind.oldest))
        }
    }
}

fn chart(topic: &str, remark: &str, top: String, numbers: &[Micros]) -> Markup {
    let most = numbers.iter().copied().max().unwrap_or(0) as f64;
    let numbers: Vec<_> = numbers.iter().map(|number| *number as f64).collect();
    Chart {
        name: topic,
        remark: html! { small { (remark) } },
        size: Size::Low,
        scale: vec![(0.0, top), (100.0, "0".to_owned())],
        content: area(&numbers, "behind", most),
        tags: Vec::new(),
    }
    .draw()
}
