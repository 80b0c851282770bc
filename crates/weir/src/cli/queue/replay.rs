//! `weir queue replay`: acked messages are enqueued anew.

use clap::Args;
use serde_json::json;
use weir_client::ReplayRange;

use crate::cli::{Connection, value};
use crate::failure::{Failure, Outcome};
use crate::output::{Done, Screen, count};

#[derive(Debug, Args)]
#[command(after_help = "\
A queue keeps acked messages when it was told to: `weir topic alter tasks --keep 24h`. Replayed messages have new ids,
stand behind what is in the queue, and carry the header weir-replay-origin: topic/partition/id of what they were.

Examples:
  weir queue replay tasks --from -2h
  weir queue replay tasks --from 2026-01-31T12:00:00Z --to 2026-01-31T13:00:00Z
  weir queue replay tasks --from -2h --request 8124571")]
pub(in crate::cli) struct Replay {
    /// The queue
    queue: String,
    /// Messages that arrived from this time on
    #[arg(long, value_name = "TIME", value_parser = value::time_ms, allow_hyphen_values = true)]
    from: u64,
    /// And before this one [default: now]
    #[arg(long, value_name = "TIME", value_parser = value::time_ms, allow_hyphen_values = true)]
    to: Option<u64>,
    /// Go on with a replay that broke off: no message is enqueued twice under one number, and the range of time is that
    /// of its beginning [default: drawn at random, a new replay]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    request: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

impl Replay {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let admin = self.connection.admin().await?;
        let request = self.request.unwrap_or_else(|| admin.new_replay_id());
        let range = ReplayRange { from_ms: self.from, to_ms: self.to };
        let mut so_far = 0;
        let replayed = admin.replay(&self.queue, request, range, |replayed| so_far = replayed).await;
        let replayed = replayed.map_err(|error| {
            let hint = format!("the same command with --request {request} goes on where this one ended");
            let failure = Failure::from(error);
            if so_far > 0 { failure.hint(hint) } else { failure }
        })?;
        let text = format!("{} of `{}` enqueued anew", count(replayed, "acked message"), self.queue);
        screen.show(&Done { text, data: json!({ "replayed": replayed, "request": request }) })
    }
}
