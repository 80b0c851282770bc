//! `weir queue ack`, `nack` and `extend`: by token, from anywhere.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use weir_client::{Client, LeaseToken, Settle, SettleAction};

use crate::cli::{Connection, value};
use crate::failure::{Failure, Outcome};
use crate::output::{Done, Screen, count};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir queue ack v1.7.42.1001
  weir queue ack v1.7.42.1001 v1.7.43.1002")]
pub(in crate::cli) struct Ack {
    #[command(flatten)]
    leases: Leases,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir queue nack v1.7.42.1001
  weir queue nack v1.7.42.1001 --delay 5m --reason 'printer on fire'
  weir queue nack v1.7.42.1001 --park --reason 'not for us'")]
pub(in crate::cli) struct Nack {
    #[command(flatten)]
    leases: Leases,
    /// Deliver again after so much time [default: the queue's backoff]
    #[arg(long, value_name = "SPAN", value_parser = value::span)]
    delay: Option<Duration>,
    /// Why, for people; kept when the message is parked
    #[arg(long, default_value = "")]
    reason: String,
    /// Set the message aside at once: never try again
    #[arg(long, conflicts_with_all = ["delay", "untried"])]
    park: bool,
    /// It was not tried: ready again at once, and no attempt is counted
    #[arg(long, conflicts_with_all = ["delay", "reason"])]
    untried: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir queue extend v1.7.42.1001 --lease 10m")]
pub(in crate::cli) struct Extend {
    #[command(flatten)]
    leases: Leases,
    /// How long the lease runs from now [default: the queue's setting]
    #[arg(long, value_name = "SPAN", value_parser = value::span)]
    lease: Option<Duration>,
}

/// What to settle.
#[derive(Debug, Args)]
struct Leases {
    /// Tokens, as `receive` prints them
    #[arg(value_name = "TOKEN", required = true)]
    tokens: Vec<LeaseToken>,
    #[command(flatten)]
    connection: Connection,
}

impl Ack {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        self.leases.settle(&SettleAction::Ack, "acked", screen).await
    }
}

impl Nack {
    fn action(&self) -> SettleAction {
        let reason = self.reason.clone();
        if self.park {
            SettleAction::Reject { reason }
        } else if self.untried {
            SettleAction::Release
        } else {
            SettleAction::Nack { delay: self.delay, reason }
        }
    }

    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let done = if self.park { "parked" } else { "given back" };
        self.leases.settle(&self.action(), done, screen).await
    }
}

impl Extend {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        self.leases.settle(&SettleAction::Extend { lease: self.lease }, "extended", screen).await
    }
}

impl Leases {
    async fn settle(&self, action: &SettleAction, done: &str, screen: Screen) -> Outcome {
        let client = self.connection.client().await?;
        let settles = self.tokens.iter().map(|token| Settle { token: *token, action: action.clone() });
        let settles: Vec<Settle> = settles.collect();
        settle_all(&client, &settles).await?;
        let text = format!("{} {done}", count(settles.len() as u64, "message"));
        screen.show(&Done { text, data: json!({ "settled": settles.len() }) })
    }
}

/// Settles all; the first that failed is the failure, and how many did is in its text.
pub(super) async fn settle_all(client: &Client, settles: &[Settle]) -> Outcome {
    let results = client.settle(settles).await;
    let failed = results.iter().filter(|result| result.is_err()).count();
    let first = settles.iter().zip(results).find_map(|(settle, result)| Some((settle.token, result.err()?)));
    match first {
        None => Ok(()),
        Some((token, error)) => {
            let which = format!(
                "that is token {token}; of {}, {failed} failed",
                count(settles.len() as u64, "token")
            );
            Err(Failure::from(error).after(which))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        nack: Nack,
    }

    fn action(line: &str) -> SettleAction {
        Line::try_parse_from(format!("nack v1.1.2.3 {line}").split_whitespace()).unwrap().nack.action()
    }

    #[test]
    fn a_nack_waits_releases_or_parks() {
        let delay = Some(Duration::from_mins(5));
        assert_eq!(action("--delay 5m"), SettleAction::Nack { delay, reason: String::new() });
        assert_eq!(action("--untried"), SettleAction::Release);
        assert_eq!(action("--park --reason no"), SettleAction::Reject { reason: "no".to_owned() });
        assert!(Line::try_parse_from(["nack", "7"]).is_err(), "7 is no token");
    }
}
