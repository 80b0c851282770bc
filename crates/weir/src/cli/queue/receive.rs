//! `weir queue receive`.

use std::time::Duration;

use clap::Args;
use weir_client::{ReceiveOptions, Settle, SettleAction};

use super::settle::settle_all;
use crate::cli::{Connection, value};
use crate::failure::Outcome;
use crate::output::{LeasedList, Screen};

#[derive(Debug, Args)]
#[command(after_help = "\
A received message is this consumer's until its lease runs out. Settle it by its token before:
`weir queue ack`, `nack` or `extend`.

Examples:
  weir queue receive tasks
  weir queue receive tasks --max 10 --wait 20s --lease 5m --json
  weir queue receive tasks --ack")]
pub(in crate::cli) struct Receive {
    /// The queue
    queue: String,
    /// At most so many messages
    #[arg(long, short = 'n', default_value_t = 1)]
    max: u32,
    /// How long to wait when there are none, at most 20s
    #[arg(long, value_name = "SPAN", value_parser = value::span, default_value = "0s")]
    wait: Duration,
    /// How long the leases run [default: the queue's setting]
    #[arg(long, value_name = "SPAN", value_parser = value::span)]
    lease: Option<Duration>,
    /// Only from this partition
    #[arg(long)]
    partition: Option<u32>,
    /// Ack what was received once it is printed
    #[arg(long)]
    ack: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Receive {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let client = self.connection.client().await?;
        let options = ReceiveOptions {
            max_messages: self.max,
            wait: self.wait,
            lease: self.lease,
            partition: self.partition,
        };
        let messages = client.receive(&self.queue, options).await?;
        screen.show(&LeasedList::of(&messages))?;
        if !self.ack || messages.is_empty() {
            return Ok(());
        }
        let settles =
            messages.iter().map(|message| Settle { token: message.token, action: SettleAction::Ack });
        settle_all(&client, &settles.collect::<Vec<_>>()).await
    }
}
