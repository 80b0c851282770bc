//! What a queue holds.

use serde::Serialize;
use weir_client::{LeasedMessage, MessageState, PeekedMessage, QueueStats};

use super::{Body, Grid, Page, View, bytes, duration_ms, headers, preview, time_ms};

/// Characters of a body in a table.
const PREVIEW: usize = 60;

/// Messages that were looked at.
#[derive(Debug, Serialize)]
pub(crate) struct PeekedList<'a> {
    messages: Vec<PeekedView<'a>>,
}

#[derive(Debug, Serialize)]
struct PeekedView<'a> {
    partition: u32,
    message_id: u64,
    state: &'static str,
    attempts: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    time: String,
    key: Option<Body<'a>>,
    value: Option<Body<'a>>,
    headers: Vec<(&'a str, Body<'a>)>,
}

impl<'a> PeekedList<'a> {
    pub(crate) fn of(messages: &'a [PeekedMessage]) -> Self {
        let view = |message: &'a PeekedMessage| PeekedView {
            partition: message.partition,
            message_id: message.message_id,
            state: state_name(message.state),
            attempts: message.attempts,
            reason: &message.reason,
            time: time_ms(message.timestamp_ms),
            key: message.key.as_deref().map(Body),
            value: message.value.as_deref().map(Body),
            headers: headers(&message.headers),
        };
        Self { messages: messages.iter().map(view).collect() }
    }
}

impl View for PeekedList<'_> {
    fn text(&self, page: Page) -> String {
        let mut grid = Grid::new(page, &["message", "state", "#attempts", "time", "key", "body", "reason"]);
        for message in &self.messages {
            let cell = |body: Option<Body>| body.map_or_else(String::new, |body| preview(body.0, PREVIEW));
            grid.row([
                format!("{}/{}", message.partition, message.message_id),
                message.state.to_owned(),
                message.attempts.to_string(),
                message.time.clone(),
                cell(message.key),
                cell(message.value),
                message.reason.to_owned(),
            ]);
        }
        grid.finish("no messages")
    }
}

/// Messages that were leased, with the tokens that settle them.
#[derive(Debug, Serialize)]
pub(crate) struct LeasedList<'a> {
    messages: Vec<LeasedView<'a>>,
}

#[derive(Debug, Serialize)]
struct LeasedView<'a> {
    token: String,
    partition: u32,
    message_id: u64,
    lease_id: u64,
    attempt: u32,
    lease_ms: u64,
    time: String,
    key: Option<Body<'a>>,
    value: Option<Body<'a>>,
    headers: Vec<(&'a str, Body<'a>)>,
}

impl<'a> LeasedList<'a> {
    pub(crate) fn of(messages: &'a [LeasedMessage]) -> Self {
        let view = |message: &'a LeasedMessage| LeasedView {
            token: message.token.to_string(),
            partition: message.partition,
            message_id: message.message_id,
            lease_id: message.lease_id,
            attempt: message.attempt,
            lease_ms: message.lease.as_millis() as u64,
            time: time_ms(message.timestamp_ms),
            key: message.key.as_deref().map(Body),
            value: message.value.as_deref().map(Body),
            headers: headers(&message.headers),
        };
        Self { messages: messages.iter().map(view).collect() }
    }
}

impl View for LeasedList<'_> {
    fn text(&self, page: Page) -> String {
        let mut grid = Grid::new(page, &["token", "message", "#attempt", "lease", "key", "body"]);
        for message in &self.messages {
            let cell = |body: Option<Body>| body.map_or_else(String::new, |body| preview(body.0, PREVIEW));
            grid.row([
                message.token.clone(),
                format!("{}/{}", message.partition, message.message_id),
                message.attempt.to_string(),
                duration_ms(message.lease_ms),
                cell(message.key),
                cell(message.value),
            ]);
        }
        grid.finish("no messages")
    }
}

pub(super) fn state_name(state: MessageState) -> &'static str {
    match state {
        MessageState::Ready => "ready",
        MessageState::Scheduled => "scheduled",
        MessageState::Leased => "leased",
        MessageState::Parked => "parked",
    }
}

/// Counts of a queue, per partition and in all.
#[derive(Debug, Serialize)]
pub(crate) struct StatsView {
    queue: String,
    partitions: Vec<StatsRow>,
    total: StatsRow,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct StatsRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<u32>,
    ready: u64,
    leased: u64,
    scheduled: u64,
    parked: u64,
    bytes: u64,
    enqueued_total: u64,
    acked_total: u64,
    redelivered_total: u64,
    outbox_batches: u64,
    kept: u64,
    kept_bytes: u64,
}

impl StatsRow {
    fn of(stats: &QueueStats) -> Self {
        Self {
            partition: Some(stats.partition),
            ready: stats.ready,
            leased: stats.leased,
            scheduled: stats.scheduled,
            parked: stats.parked,
            bytes: stats.bytes,
            enqueued_total: stats.enqueued_total,
            acked_total: stats.acked_total,
            redelivered_total: stats.redelivered_total,
            outbox_batches: stats.outbox_batches,
            kept: stats.kept,
            kept_bytes: stats.kept_bytes,
        }
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            partition: None,
            ready: self.ready + other.ready,
            leased: self.leased + other.leased,
            scheduled: self.scheduled + other.scheduled,
            parked: self.parked + other.parked,
            bytes: self.bytes + other.bytes,
            enqueued_total: self.enqueued_total + other.enqueued_total,
            acked_total: self.acked_total + other.acked_total,
            redelivered_total: self.redelivered_total + other.redelivered_total,
            outbox_batches: self.outbox_batches + other.outbox_batches,
            kept: self.kept + other.kept,
            kept_bytes: self.kept_bytes + other.kept_bytes,
        }
    }
}

impl StatsView {
    pub(crate) fn of(queue: &str, stats: &[QueueStats]) -> Self {
        let partitions: Vec<StatsRow> = stats.iter().map(StatsRow::of).collect();
        let total = partitions.iter().fold(StatsRow::default(), StatsRow::plus);
        Self { queue: queue.to_owned(), partitions, total }
    }
}

impl View for StatsView {
    fn text(&self, page: Page) -> String {
        let mut titles = vec![
            "partition",
            "#ready",
            "#leased",
            "#scheduled",
            "#parked",
            "#size",
            "#enqueued",
            "#acked",
            "#redelivered",
        ];
        // Mostly nothing is on its way or kept, and the table fits a narrow terminal without.
        let has_outbox = self.total.outbox_batches > 0;
        if has_outbox {
            titles.push("#outbox");
        }
        let has_kept = self.total.kept > 0;
        if has_kept {
            titles.extend(["#kept", "#kept size"]);
        }
        let mut grid = Grid::new(page, &titles);
        for row in self.partitions.iter().chain([&self.total]) {
            let mut cells = vec![
                row.partition.map_or_else(|| "all".to_owned(), |partition| partition.to_string()),
                row.ready.to_string(),
                row.leased.to_string(),
                row.scheduled.to_string(),
                row.parked.to_string(),
                bytes(row.bytes),
                row.enqueued_total.to_string(),
                row.acked_total.to_string(),
                row.redelivered_total.to_string(),
            ];
            if has_outbox {
                cells.push(row.outbox_batches.to_string());
            }
            if has_kept {
                cells.extend([row.kept.to_string(), bytes(row.kept_bytes)]);
            }
            grid.row(cells);
        }
        grid.finish("no partitions")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn counts_are_added_up_over_partitions() {
        let stats =
            [0, 1].map(|partition| QueueStats { partition, ready: 5, acked_total: 2, ..Default::default() });
        let view = serde_json::to_value(StatsView::of("tasks", &stats)).unwrap();
        assert_eq!(view["total"]["ready"], 10);
        assert_eq!(view["total"]["acked_total"], 4);
        assert_eq!(view["partitions"][1]["partition"], 1);
        assert!(view["total"].get("partition").is_none());
    }
}
