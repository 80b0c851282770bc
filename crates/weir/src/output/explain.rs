//! Why a message is not being delivered.

use serde::Serialize;
use weir_client::{Explanation, Hold, Holder, Whereabouts};

use super::queues::state_name;
use super::{Grid, Page, View, duration_ms};

/// Where a message stands, and what it waits for.
#[derive(Debug, Serialize)]
pub(crate) struct ExplanationView<'a> {
    queue: &'a str,
    partition: u32,
    hold: &'static str,
    why: String,
    message: Option<WhereaboutsView<'a>>,
    key_leased: Vec<WhereaboutsView<'a>>,
    key_next: Option<WhereaboutsView<'a>>,
    attempts_max: u32,
    max_inflight_per_key: u32,
    sessions: u64,
    ready: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_blocked_by: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_inflight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_inflight_per_session: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenants_before: Option<u32>,
}

#[derive(Debug, Serialize)]
struct WhereaboutsView<'a> {
    message_id: u64,
    state: &'static str,
    attempts: u32,
    age_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_in_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<HolderView>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parked_for_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct HolderView {
    lease_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<u64>,
    held_for_ms: u64,
    left_ms: u64,
}

impl<'a> ExplanationView<'a> {
    pub(crate) fn of(queue: &'a str, explanation: &'a Explanation) -> Self {
        Self {
            queue,
            partition: explanation.partition,
            hold: hold_name(explanation.hold),
            why: why(explanation),
            message: explanation.message.as_ref().map(WhereaboutsView::of),
            key_leased: explanation.key_leased.iter().map(WhereaboutsView::of).collect(),
            key_next: explanation.key_next.as_ref().map(WhereaboutsView::of),
            attempts_max: explanation.attempts_max,
            max_inflight_per_key: explanation.max_inflight_per_key,
            sessions: explanation.sessions,
            ready: explanation.ready,
            key_blocked_by: explanation.key_blocked_by,
            max_inflight: explanation.max_inflight,
            max_inflight_per_session: explanation.max_inflight_per_session,
            tenants_before: explanation.tenants_before,
        }
    }

    /// The message, those of its key that are leased, and the next of its key, each once.
    fn rows(&self) -> impl Iterator<Item = (&'static str, &WhereaboutsView<'a>)> {
        let message = self.message.as_ref();
        let id = message.map(|message| message.message_id);
        let leased = self.key_leased.iter().map(|leased| ("its key, leased", leased));
        let next = self.key_next.iter().map(|next| ("its key, next", next));
        let others = leased.chain(next).filter(move |(_, other)| Some(other.message_id) != id);
        message.into_iter().map(|message| ("this one", message)).chain(others)
    }
}

impl<'a> WhereaboutsView<'a> {
    fn of(whereabouts: &'a Whereabouts) -> Self {
        let ms = |span: std::time::Duration| span.as_millis() as u64;
        let holder = |Holder { lease_id, session_id, held_for, left }| HolderView {
            lease_id,
            session_id,
            held_for_ms: ms(held_for),
            left_ms: ms(left),
        };
        Self {
            message_id: whereabouts.message_id,
            state: state_name(whereabouts.state),
            attempts: whereabouts.attempts,
            age_ms: ms(whereabouts.age),
            due_in_ms: whereabouts.due_in.map(ms),
            expires_in_ms: whereabouts.expires_in.map(ms),
            holder: whereabouts.holder.map(holder),
            reason: &whereabouts.reason,
            parked_for_ms: whereabouts.parked_for.map(ms),
        }
    }

    fn holder(&self) -> String {
        self.holder.map_or_else(String::new, |holder| match holder.session_id {
            Some(session) => format!("session {session:016x}"),
            None => format!("lease {}", holder.lease_id),
        })
    }

    /// What will happen to it next, as far as time decides that.
    fn next(&self) -> String {
        let after = |what: &str, ms| format!("{what} {}", duration_ms(ms));
        let leased = self.holder.map(|holder| after("lease ends in", holder.left_ms));
        let due = self.due_in_ms.map(|ms| after("due in", ms));
        let expires = self.expires_in_ms.map(|ms| after("expires in", ms));
        leased.into_iter().chain(due).chain(expires).collect::<Vec<_>>().join(", ")
    }
}

impl View for ExplanationView<'_> {
    fn text(&self, page: Page) -> String {
        let mut grid =
            Grid::new(page, &["", "message", "state", "#attempts", "age", "holder", "held", "next"]);
        for (role, row) in self.rows() {
            let held = row.holder.map(|holder| holder.held_for_ms).or(row.parked_for_ms);
            grid.row([
                role.to_owned(),
                format!("{}/{}", self.partition, row.message_id),
                row.state.to_owned(),
                format!("{} of {}", row.attempts, self.attempts_max),
                duration_ms(row.age_ms),
                row.holder(),
                held.map_or_else(String::new, duration_ms),
                row.next(),
            ]);
        }
        if self.message.is_none() {
            return self.why.clone();
        }
        format!("{}\n\n{}", self.why, grid.finish(""))
    }
}

fn hold_name(hold: Hold) -> &'static str {
    match hold {
        Hold::NotArrived => "not-arrived",
        Hold::Gone => "gone",
        Hold::KeyIsEmpty => "key-is-empty",
        Hold::BehindKey => "behind-key",
        Hold::KeyLimit => "key-limit",
        Hold::PartitionLimit => "partition-limit",
        Hold::SessionLimit => "session-limit",
        Hold::Scheduled => "scheduled",
        Hold::Backoff => "backoff",
        Hold::Leased => "leased",
        Hold::Parked => "parked",
        _ => "nothing",
    }
}

/// The one sentence that somebody is after, and a second one when producers are concerned too.
fn why(explanation: &Explanation) -> String {
    let hold = why_held(explanation) + &turn(explanation);
    let Some(message) = explanation.key_blocked_by else { return hold };
    format!(
        "{hold} Its key is blocked: until {}/{message} is redriven or discarded, nothing of the key is delivered and sends of it are refused (key-blocked).",
        explanation.partition
    )
}

/// What tenants have to do with it.
fn turn(explanation: &Explanation) -> String {
    match explanation.tenants_before {
        None => String::new(),
        Some(0) => " Tenants take turns, and the next one is its own tenant's.".to_owned(),
        Some(1) => " Tenants take turns, and another one has its turn before.".to_owned(),
        Some(100..) => " Tenants take turns, and 100 others or more have theirs before.".to_owned(),
        Some(tenants) => format!(" Tenants take turns, and {tenants} others have theirs before."),
    }
}

fn why_held(explanation: &Explanation) -> String {
    let partition = explanation.partition;
    let id =
        explanation.message.as_ref().map_or_else(String::new, |m| format!("{partition}/{}", m.message_id));
    let reason = explanation.message.as_ref().map_or("", |message| message.reason.as_str());
    match explanation.hold {
        Hold::NotArrived => format!("No such message yet: partition {partition} has not come to this id."),
        Hold::Gone => {
            "The message was here and is gone: acked, discarded, moved on, cancelled, purged or expired."
                .to_owned()
        }
        Hold::KeyIsEmpty => format!("The key has no message in partition {partition}, where it belongs."),
        Hold::BehindKey => format!("{id} waits behind other messages of its key. {}", blocker(explanation)),
        Hold::KeyLimit => format!(
            "{id} is the next of its key, of which as many messages are leased as `--max-inflight-per-key` allows ({}).",
            explanation.max_inflight_per_key
        ),
        Hold::PartitionLimit => format!(
            "{id} is next, but as many messages of partition {partition} are leased as `--max-inflight` allows ({}).",
            explanation.max_inflight.unwrap_or(1_000_000)
        ),
        Hold::SessionLimit => format!(
            "{id} is next, but each of the {} workers with a session holds as many messages of partition {partition} as `--max-inflight-per-session` allows ({}).",
            explanation.sessions,
            explanation.max_inflight_per_session.unwrap_or(0)
        ),
        Hold::Scheduled => format!("{id} waits for its delivery time."),
        Hold::Backoff => format!("{id} was given back and waits for the end of its pause."),
        Hold::Leased => {
            format!("A consumer has {id}: it is delivered again when that one nacks it or its lease ends.")
        }
        Hold::Parked => {
            format!("{id} is parked ({reason}): `weir queue parked redrive` makes it ready again.")
        }
        _ if explanation.sessions == 0 => format!(
            "Nothing keeps {id}: it waits for a consumer, and no worker has a session at partition {partition}."
        ),
        _ => format!(
            "Nothing keeps {id}: it waits for a consumer; {} messages of partition {partition} are ready, {} workers have a session.",
            explanation.ready, explanation.sessions
        ),
    }
}

/// What keeps the key of a message that is not its first.
fn blocker(explanation: &Explanation) -> String {
    let at = |whereabouts: &Whereabouts| format!("{}/{}", explanation.partition, whereabouts.message_id);
    if explanation.key_leased.len() as u32 >= explanation.max_inflight_per_key
        && let Some(leased) = explanation.key_leased.first()
    {
        return format!("A consumer has {}.", at(leased));
    }
    let itself = explanation.message.as_ref().map(|message| message.message_id);
    match &explanation.key_next {
        Some(next) if Some(next.message_id) == itself => {
            "They are left in a partition that was split or merged, and come first.".to_owned()
        }
        Some(next) if next.parked_for.is_some() => format!("{} is parked and keeps its key.", at(next)),
        Some(next) if next.due_in.is_some() => format!("{} comes next, and is not due yet.", at(next)),
        Some(next) => format!("{} comes next, and waits for a consumer.", at(next)),
        None => String::new(),
    }
}
