//! C2 and C3. What the harness lost, and what nodes did that nobody asked for.

use crate::{Anomaly, Check, Event, Findings, Lost, Micros, Op};

/// C2: the harness.
pub(super) struct Machinery {
    stall_max: Micros,
    found: Findings,
}

impl Machinery {
    pub(super) fn new(stall_max: Micros) -> Self {
        Self { stall_max, found: Findings::default() }
    }
}

impl Check for Machinery {
    fn name(&self) -> &'static str {
        "C2 harness"
    }

    fn observe(&mut self, line: u64, event: &Event) {
        match &event.op {
            Op::Lost(Lost::Stall(time)) if *time > self.stall_max => {
                let (time, second) = (time / 1_000, event.from / 1_000_000);
                self.found.unknown.push(format!(
                    "stall: the harness stood still for {time} ms at second {second} (line {line})"
                ));
            }
            Op::Lost(Lost::Task(text)) => {
                self.found.unknown.push(format!("lost-task: {text} (line {line})"));
            }
            _ => {}
        }
    }

    fn finish(self: Box<Self>) -> Findings {
        self.found
    }
}

/// C3: the nodes.
#[derive(Default)]
pub(super) struct Panics(Findings);

impl Check for Panics {
    fn name(&self) -> &'static str {
        "C3 node-panic"
    }

    fn observe(&mut self, line: u64, event: &Event) {
        let Op::Lost(Lost::Node { node, line: text }) = &event.op else { return };
        self.0.add(Anomaly {
            check: "C3".to_owned(),
            name: "node-panic".to_owned(),
            at: event.from,
            topic: String::new(),
            subject: format!("node {node}"),
            text: text.clone(),
            evidence: vec![line],
        });
    }

    fn finish(self: Box<Self>) -> Findings {
        self.0
    }
}
