//! Consumer groups.

use serde::Serialize;
use weir_client::{GroupDescription, GroupPosition, GroupSummary};

use super::{Grid, Page, View, duration_ms};

/// All consumer groups.
#[derive(Debug, Serialize)]
pub(crate) struct GroupList {
    groups: Vec<SummaryView>,
}

#[derive(Debug, Serialize)]
struct SummaryView {
    group: String,
    members: u32,
    topics: Vec<String>,
}

impl GroupList {
    pub(crate) fn of(groups: &[GroupSummary]) -> Self {
        let view = |group: &GroupSummary| SummaryView {
            group: group.group.clone(),
            members: group.members,
            topics: group.topics.clone(),
        };
        Self { groups: groups.iter().map(view).collect() }
    }
}

impl View for GroupList {
    fn text(&self, page: Page) -> String {
        let mut grid = Grid::new(page, &["group", "#members", "topics"]);
        for group in &self.groups {
            grid.row([group.group.clone(), group.members.to_string(), group.topics.join(", ")]);
        }
        grid.finish("there are no consumer groups; `weir stream read NAME --group GROUP` makes one")
    }
}

/// Positions of a group.
#[derive(Debug, Serialize)]
pub(crate) struct PositionList {
    positions: Vec<PositionView>,
}

#[derive(Debug, Serialize)]
struct PositionView {
    topic: String,
    partition: u32,
    committed: Option<u64>,
    start_offset: u64,
    end_offset: u64,
    lag: u64,
    lag_ms: u64,
    owner: Option<String>,
}

impl PositionList {
    pub(crate) fn of(positions: &[GroupPosition]) -> Self {
        let view = |position: &GroupPosition| PositionView {
            topic: position.topic.clone(),
            partition: position.partition,
            committed: position.committed,
            start_offset: position.start_offset,
            end_offset: position.end_offset,
            lag: position.lag,
            lag_ms: position.lag_ms,
            owner: position.owner.clone(),
        };
        Self { positions: positions.iter().map(view).collect() }
    }
}

impl View for PositionList {
    fn text(&self, page: Page) -> String {
        let titles = ["topic", "#partition", "#committed", "#start", "#end", "#lag", "#behind", "owner"];
        let mut grid = Grid::new(page, &titles);
        for position in &self.positions {
            grid.row([
                position.topic.clone(),
                position.partition.to_string(),
                position.committed.map_or_else(|| "-".to_owned(), |offset| offset.to_string()),
                position.start_offset.to_string(),
                position.end_offset.to_string(),
                position.lag.to_string(),
                if position.lag == 0 { "-".to_owned() } else { duration_ms(position.lag_ms) },
                position.owner.clone().unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        grid.finish("the group has no positions")
    }
}

/// One group.
#[derive(Debug, Serialize)]
pub(crate) struct GroupView {
    group: String,
    members: Vec<MemberView>,
    #[serde(flatten)]
    positions: PositionList,
}

#[derive(Debug, Serialize)]
struct MemberView {
    member_id: String,
    topics: Vec<String>,
    assigned: Vec<String>,
}

impl GroupView {
    pub(crate) fn of(group: &GroupDescription) -> Self {
        let members = group.members.iter().map(|member| MemberView {
            member_id: member.member_id.clone(),
            topics: member.topics.clone(),
            assigned: member
                .assigned
                .iter()
                .map(|(topic, partition)| format!("{topic}/{partition}"))
                .collect(),
        });
        Self {
            group: group.group.clone(),
            members: members.collect(),
            positions: PositionList::of(&group.positions),
        }
    }
}

impl View for GroupView {
    fn text(&self, page: Page) -> String {
        let mut grid = Grid::new(page, &["member", "topics", "partitions"]);
        for member in &self.members {
            grid.row([member.member_id.clone(), member.topics.join(", "), member.assigned.join(", ")]);
        }
        let members = grid.finish("no members");
        format!("group `{}`\n\n{members}\n\n{}", self.group, self.positions.text(page))
    }
}
