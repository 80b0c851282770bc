//! `weir stream append`.

use clap::Args;
use weir_types::TopicKind;

use crate::cli::publish::{Publish, Publisher};
use crate::failure::Outcome;
use crate::output::{Done, Screen, count};

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
        let mut publisher = self.publish.open(&self.stream, TopicKind::Stream).await?;
        let appending = self.append_all(&mut publisher).await;
        let appended = publisher.finish(appending).await?;
        let text = format!("appended {} to `{}`", count(appended.records, "record"), self.stream);
        screen.show(&Done { text, data: appended })
    }

    async fn append_all(&self, publisher: &mut Publisher) -> Outcome {
        let mut source = self.publish.lines.open().await?;
        while let Some(line) = source.next().await? {
            publisher.send(self.publish.record(self.publish.lines.split(line)?)).await?;
        }
        Ok(())
    }
}
