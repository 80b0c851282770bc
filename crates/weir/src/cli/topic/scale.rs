//! `weir topic scale`: more partitions, or fewer.

use clap::Args;

use crate::cli::Connection;
use crate::failure::Outcome;
use crate::output::{ReshapedView, Screen};

#[derive(Debug, Args)]
#[command(after_help = "\
The widest partitions are split in the middle, or the narrowest neighbours merged, until so many
own keys: see `weir partition split --help`. Asked once more, it goes on where it stopped.

Examples:
  weir topic scale events --partitions 6
  weir topic scale tasks --partitions 1")]
pub(in crate::cli) struct Scale {
    name: String,
    /// 1 to 1024
    #[arg(long, short, value_name = "N")]
    partitions: u32,
    #[command(flatten)]
    connection: Connection,
}

impl Scale {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let admin = self.connection.admin().await?;
        let reshaped = admin.scale_topic(&self.name, self.partitions).await?;
        screen.show(&ReshapedView::of(&reshaped, &admin.describe_topic(&self.name).await?))
    }
}
