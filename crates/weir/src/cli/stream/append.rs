//! `weir stream append`.

use clap::Args;

use crate::cli::publish::Publish;
use crate::failure::Outcome;
use crate::output::{Done, Screen};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seq 1000 | weir stream append events
  weir stream append events --file access.log --compression zstd
  weir stream append events -f users.csv --key-separator , --header source=import")]
pub(in crate::cli) struct Append {
    /// The stream
    stream: String,
    #[command(flatten)]
    publish: Publish,
}

impl Append {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let mut publisher = self.publish.open(&self.stream).await?;
        let mut source = self.publish.lines.open().await?;
        while let Some(line) = source.next().await? {
            publisher.send(self.publish.record(self.publish.lines.split(line)?)).await?;
        }
        let appended = publisher.finish().await?;
        let text = format!("appended {} records to `{}`", appended.records, self.stream);
        screen.show(&Done { text, data: appended })
    }
}
