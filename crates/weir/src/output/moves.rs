//! Replicas on the move.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_client::{ClusterStatus, MoveInfo, MovePhase, MoveReason};

use super::{Grid, Page, View, bytes};

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
    /// Of its partition; none when its leader did not answer.
    bytes: Option<u64>,
}

impl MoveList {
    /// `none` is what people read when there are none.
    pub(crate) fn of(moves: &[MoveInfo], status: &ClusterStatus, none: &'static str) -> Self {
        let name = |id: u64| {
            let known = status.nodes.iter().find(|node| node.node_id == id);
            known.map_or_else(|| id.to_string(), |node| node.name.clone())
        };
        let sized = status.partitions.iter().filter_map(|known| Some((known.group_id, known.bytes()?)));
        let sizes: BTreeMap<u32, u64> = sized.collect();
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
            bytes: sizes.get(&moving.group_id).copied(),
        };
        Self { moves: moves.iter().map(view).collect(), none }
    }
}

impl View for MoveList {
    fn text(&self, page: Page) -> String {
        let mut grid = Grid::new(page, &["topic", "#partition", "from", "to", "state", "why", "#size"]);
        for moving in &self.moves {
            grid.row([
                moving.topic.clone().unwrap_or_else(|| "(group coordinator)".to_owned()),
                moving.partition.to_string(),
                moving.from_name.clone(),
                moving.to_name.clone(),
                moving.phase.to_owned(),
                moving.reason.unwrap_or("-").to_owned(),
                moving.bytes.map_or_else(|| "-".to_owned(), bytes),
            ]);
        }
        grid.finish(self.none)
    }
}
