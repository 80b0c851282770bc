//! `weir queue send`.

use clap::Args;
use weir_client::Record;
use weir_types::TopicKind;

use crate::cli::lines::Keyed;
use crate::cli::publish::{Publish, Publisher};
use crate::cli::value;
use crate::failure::Outcome;
use crate::output::{Done, Screen, count};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir queue send tasks hello 'second message'
  seq 1000 | weir queue send tasks
  weir queue send tasks --file tasks.txt --key-separator : --header source=import
  weir queue send tasks --delay 10m --priority 7 later")]
pub(in crate::cli) struct Send {
    /// The queue
    queue: String,
    /// Messages; without any, each line of --file or of standard input is one
    #[arg(conflicts_with = "files")]
    messages: Vec<String>,
    /// 0 to 9; the higher the sooner
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: Option<u8>,
    /// Deliver only after so much time
    #[arg(long, value_name = "SPAN", value_parser = value::span_ms)]
    delay: Option<u64>,
    /// Gone when not acked so much time after arrival
    #[arg(long, value_name = "SPAN", value_parser = value::span_ms)]
    ttl: Option<u64>,
    #[command(flatten)]
    publish: Publish,
}

impl Send {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let mut publisher = self.publish.open(&self.queue, TopicKind::Queue).await?;
        let sending = self.send_all(&mut publisher).await;
        let sent = publisher.finish(sending).await?;
        let text = format!("sent {} to `{}`", count(sent.records, "message"), self.queue);
        screen.show(&Done { text, data: sent })
    }

    async fn send_all(&self, publisher: &mut Publisher) -> Outcome {
        for message in &self.messages {
            let line = message.clone().into_bytes().into();
            publisher.send(self.record(self.publish.lines.split(line)?)).await?;
        }
        if !self.messages.is_empty() {
            return Ok(());
        }
        let mut source = self.publish.lines.open().await?;
        while let Some(line) = source.next().await? {
            publisher.send(self.record(self.publish.lines.split(line)?)).await?;
        }
        Ok(())
    }

    fn record(&self, keyed: Keyed) -> Record {
        let mut record = self.publish.record(keyed);
        if let Some(priority) = self.priority {
            record = record.priority(priority);
        }
        if let Some(delay_ms) = self.delay {
            let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
            record = record.deliver_at_ms(now.saturating_add(delay_ms));
        }
        match self.ttl {
            Some(ttl_ms) => record.ttl_ms(ttl_ms),
            None => record,
        }
    }
}
