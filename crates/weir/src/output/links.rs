//! Links between topics.

use serde::Serialize;
use weir_client::{LinkInfo, LinkKind};

use super::{Grid, Page, View, time_ms};

/// All links.
#[derive(Debug, Serialize)]
pub(crate) struct LinkList {
    links: Vec<LinkView>,
}

/// One link.
#[derive(Debug, Serialize)]
pub(crate) struct LinkView {
    kind: &'static str,
    from: String,
    to: String,
    created_at: String,
}

impl LinkView {
    pub(crate) fn of(link: &LinkInfo) -> Self {
        let (from, to) = (link.from.clone(), link.to.clone());
        Self { kind: Self::name(link.kind), from, to, created_at: time_ms(link.created_at_ms) }
    }

    /// As on the command line and in the broker's errors.
    pub(crate) fn name(kind: LinkKind) -> &'static str {
        match kind {
            LinkKind::Forward => "forward",
            LinkKind::DeadLetter => "dead-letter",
            LinkKind::Subscription => "subscription",
        }
    }
}

impl LinkList {
    pub(crate) fn of(links: &[LinkInfo]) -> Self {
        Self { links: links.iter().map(LinkView::of).collect() }
    }
}

impl View for LinkList {
    fn text(&self, page: Page) -> String {
        let mut grid = Grid::new(page, &["from", "to", "kind", "created"]);
        for link in &self.links {
            grid.row([link.from.clone(), link.to.clone(), link.kind.to_owned(), link.created_at.clone()]);
        }
        grid.finish("no links; `weir topic forward|dead-letters|subscribe` makes one")
    }
}
