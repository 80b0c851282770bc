//! What the nemesis did, from when to when.

use std::collections::BTreeMap;

use weir_checker::{Fault, FaultPhase, Micros};

/// All faults, in the order in which they began.
#[derive(Default)]
pub(in crate::report) struct Faults {
    spans: Vec<Span>,
    open: BTreeMap<(String, u64), usize>,
}

/// One fault.
pub(in crate::report) struct Span {
    /// When it began.
    pub(in crate::report) from: Micros,
    /// When it was over: the same for what happens at once, None when nobody said so.
    pub(in crate::report) to: Option<Micros>,
    /// As it was told at its beginning.
    pub(in crate::report) fault: Fault,
}

impl Faults {
    pub(super) fn observe(&mut self, at: Micros, fault: &Fault) {
        let key = (fault.kind.clone(), fault.id);
        match fault.phase {
            FaultPhase::Begin => {
                self.open.insert(key, self.spans.len());
                self.spans.push(Span { from: at, to: None, fault: fault.clone() });
            }
            FaultPhase::Once => self.spans.push(Span { from: at, to: Some(at), fault: fault.clone() }),
            FaultPhase::End => {
                if let Some(place) = self.open.remove(&key) {
                    self.spans[place].to = Some(at);
                }
            }
        }
    }

    /// All, by beginning.
    pub(in crate::report) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Those of each kind, by name.
    pub(in crate::report) fn by_kind(&self) -> BTreeMap<&str, Vec<&Span>> {
        let mut kinds: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
        for span in &self.spans {
            kinds.entry(&span.fault.kind).or_default().push(span);
        }
        kinds
    }

    /// For each directed link that was ever cut or bad: when.
    pub(in crate::report) fn by_link(&self) -> BTreeMap<(&str, &str), Vec<&Span>> {
        let mut links: BTreeMap<(&str, &str), Vec<&Span>> = BTreeMap::new();
        for span in &self.spans {
            for (from, to) in &span.fault.links {
                links.entry((from, to)).or_default().push(span);
            }
        }
        links
    }
}

impl Span {
    /// When it was over, at the latest at the end of a run of this length.
    pub(in crate::report) fn until(&self, length: Micros) -> Micros {
        self.to.unwrap_or(length).max(self.from)
    }

    /// Its kind and who suffers: `kill of n2`.
    pub(in crate::report) fn title(&self) -> String {
        let Fault { kind, nodes, links, detail, .. } = &self.fault;
        let mut title = kind.clone();
        if !nodes.is_empty() {
            title = format!("{title} of {}", nodes.join(", "));
        }
        if !links.is_empty() && nodes.is_empty() {
            title = format!("{title} of {} links", links.len());
        }
        if detail.is_empty() { title } else { format!("{title}: {detail}") }
    }
}
