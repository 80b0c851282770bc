//! `weir cluster features`: what the cluster may write, and raising it after an upgrade.

use std::num::NonZeroU32;

use clap::Args;
use serde_json::json;

use super::Connection;
use crate::failure::Outcome;
use crate::output::{Done, FeaturesView, Screen};

/// Show the feature level of the cluster and what its nodes know, or raise it
#[derive(Debug, Args)]
#[command(after_help = "\
Nodes of two builds work together at the level of the older one. After an upgrade the level stays as it is, and each node
may go back to the build that it had; when all is well it is raised, once and for all. That is refused while a member does not
answer or its build does not know the level. From then on no node of an older build starts or joins.

Levels: 1, what builds wrote that know nothing of levels; 2, recovery and replacement of nodes, changed numbers of replicas,
`--fair-by`, quiet groups.

Examples:
  weir cluster features
  weir cluster features --enable latest
  weir cluster features --enable 2 --json")]
pub(super) struct Features {
    /// Raise the cluster to this level; `latest`: the highest that all nodes know
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    enable: Option<Wanted>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Latest,
    Level(u32),
}

fn level(text: &str) -> Result<Wanted, String> {
    if text == "latest" {
        return Ok(Wanted::Latest);
    }
    let level = text.parse::<NonZeroU32>().map_err(|_| "is no level and not `latest`".to_owned())?;
    Ok(Wanted::Level(level.get()))
}

impl Features {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let admin = self.connection.admin().await?;
        let Some(wanted) = self.enable else {
            return screen.show(&FeaturesView::of(&admin.cluster_status().await?));
        };
        let level = match wanted {
            Wanted::Latest => None,
            Wanted::Level(level) => Some(level),
        };
        let level = admin.raise_feature_level(level).await?;
        let text = format!("the cluster is at feature level {level}");
        screen.show(&Done { text, data: json!({ "feature_level": level }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_number_from_one_or_the_latest() {
        assert_eq!(level("latest"), Ok(Wanted::Latest));
        assert_eq!(level("2"), Ok(Wanted::Level(2)));
        assert!(level("0").is_err() && level("newest").is_err());
    }
}
