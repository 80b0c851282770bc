//! L5. A call is answered, or given up, soon after its deadline.

use super::{HUNG_CALL, LivenessOptions, anomaly, asked, seconds};
use crate::{Check, Event, Findings, Micros};

/// Watches how long calls take.
pub(super) struct Deadline {
    max: Option<Micros>,
    found: Findings,
}

impl Deadline {
    pub(super) fn new(options: &LivenessOptions) -> Self {
        let max = options.request_deadline.map(|deadline| deadline + options.deadline_slack);
        Self { max, found: Findings::default() }
    }
}

impl Check for Deadline {
    fn name(&self) -> &'static str {
        "L5 fast-fail"
    }

    fn observe(&mut self, line: u64, event: &Event) {
        let (Some(max), Some(to), Some((topic, _))) = (self.max, event.to, asked(&event.op)) else { return };
        let took = to.saturating_sub(event.from);
        if took > max {
            let node = event.node.as_deref().unwrap_or("a node");
            let text = format!(
                "{node} was asked, and the call came back after {}, at most {} are right",
                seconds(took),
                seconds(max)
            );
            self.found.add(anomaly(
                HUNG_CALL,
                to,
                (topic, format!("process {}", event.process.0)),
                text,
                &[line],
            ));
        }
    }

    fn finish(self: Box<Self>) -> Findings {
        self.found
    }
}
