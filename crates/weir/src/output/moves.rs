//! Replicas on the move.

use serde::Serialize;
use weir_client::{MoveInfo, MovePhase, MoveReason, NodeInfo};

use super::{Grid, Page, View};

/// Moves, planned or under way.
#[derive(Debug, Serialize)]
pub(crate) struct MoveList {
    moves: Vec<MoveView>,
    #[serde(skip)]
    none: &'static str,
}

#[derive(Debug, Serialize)]
struct MoveView {
    /// None: a shard of the consumer-group coordinator.
    topic: Option<String>,
    partition: u32,
    group_id: u32,
    from: u64,
    to: u64,
    #[serde(skip)]
    from_name: String,
    #[serde(skip)]
    to_name: String,
    phase: &'static str,
    reason: Option<&'static str>,
}

impl MoveList {
    /// `none` is what people read when there are none.
    pub(crate) fn of(moves: &[MoveInfo], nodes: &[NodeInfo], none: &'static str) -> Self {
        let name = |id: u64| {
            let known = nodes.iter().find(|node| node.node_id == id);
            known.map_or_else(|| id.to_string(), |node| node.name.clone())
        };
        let view = |moving: &MoveInfo| MoveView {
            topic: (!moving.topic.is_empty()).then(|| moving.topic.clone()),
            partition: moving.partition,
            group_id: moving.group_id,
            from: moving.from,
            to: moving.to,
            from_name: name(moving.from),
            to_name: name(moving.to),
            phase: match moving.phase {
                MovePhase::Planned => "planned",
                MovePhase::Waiting => "waiting",
                MovePhase::CatchingUp => "catching-up",
                MovePhase::Removing => "removing",
            },
            reason: moving.reason.map(|reason| match reason {
                MoveReason::Asked => "asked",
                MoveReason::Drain => "drain",
                MoveReason::Recovery => "recovery",
            }),
        };
        Self { moves: moves.iter().map(view).collect(), none }
    }
}

impl View for MoveList {
    fn text(&self, page: Page) -> String {
        let mut grid = Grid::new(page, &["topic", "#partition", "from", "to", "state", "why"]);
        for moving in &self.moves {
            grid.row([
                moving.topic.clone().unwrap_or_else(|| "(group coordinator)".to_owned()),
                moving.partition.to_string(),
                moving.from_name.clone(),
                moving.to_name.clone(),
                moving.phase.to_owned(),
                moving.reason.unwrap_or("-").to_owned(),
            ]);
        }
        grid.finish(self.none)
    }
}
