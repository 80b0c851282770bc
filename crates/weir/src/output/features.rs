//! The feature level, and what the nodes know.

use serde::Serialize;
use weir_client::ClusterStatus;

use super::{Grid, Page, View};

/// What the cluster may write, and what it could.
#[derive(Debug, Serialize)]
pub(crate) struct FeaturesView {
    feature_level: u32,
    /// The highest that all members know; none while one of them does not answer.
    feature_level_possible: Option<u32>,
    nodes: Vec<NodeView>,
}

#[derive(Debug, Serialize)]
struct NodeView {
    node_id: u64,
    name: String,
    version: String,
    /// None: it does not answer.
    feature_level: Option<u32>,
}

impl FeaturesView {
    pub(crate) fn of(status: &ClusterStatus) -> Self {
        let node = |node: &weir_client::NodeInfo| NodeView {
            node_id: node.node_id,
            name: node.name.clone(),
            version: node.version.clone(),
            feature_level: node.feature_level,
        };
        let known = status.nodes.iter().map(|node| node.feature_level);
        Self {
            feature_level: status.feature_level,
            feature_level_possible: known.min().flatten(),
            nodes: status.nodes.iter().map(node).collect(),
        }
    }

    fn next(&self) -> String {
        let active = self.feature_level;
        match self.feature_level_possible {
            None => "a node does not answer: the level cannot be raised now".to_owned(),
            Some(possible) if possible > active => {
                format!("all nodes know level {possible}: `weir cluster features --enable latest`, for ever")
            }
            Some(_) => "that is the highest that all nodes know".to_owned(),
        }
    }
}

impl View for FeaturesView {
    fn text(&self, page: Page) -> String {
        let mut grid = Grid::new(page, &["#node", "name", "version", "#knows"]);
        for node in &self.nodes {
            let knows = node.feature_level.map_or_else(|| "-".to_owned(), |level| level.to_string());
            grid.row([node.node_id.to_string(), node.name.clone(), node.version.clone(), knows]);
        }
        let nodes = grid.finish("no nodes");
        format!("feature level {}\n{}\n\n{nodes}", self.feature_level, self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(feature_level: u32, known: &[Option<u32>]) -> FeaturesView {
        let node = |(node_id, known): (u64, &Option<u32>)| NodeView {
            node_id,
            name: format!("n{node_id}"),
            version: String::new(),
            feature_level: *known,
        };
        let feature_level_possible = known.iter().copied().min().flatten();
        FeaturesView { feature_level, feature_level_possible, nodes: (1..).zip(known).map(node).collect() }
    }

    #[test]
    fn it_says_whether_the_level_can_be_raised() {
        assert!(view(1, &[Some(2), Some(2)]).next().contains("all nodes know level 2"));
        assert!(view(1, &[Some(2), Some(1)]).next().contains("the highest that all nodes know"));
        assert!(view(2, &[Some(2), None]).next().contains("a node does not answer"));
    }
}
