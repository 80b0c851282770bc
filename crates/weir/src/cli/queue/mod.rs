//! `weir queue`: one file per command.

mod look;
mod parked;
mod receive;
mod remove;
mod replay;
mod send;
mod settle;
mod work;

use clap::Subcommand;

use crate::failure::Outcome;
use crate::output::Screen;

/// Send messages to a queue, and take them out again
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Queue {
    /// Send messages: arguments, or lines of files or standard input
    Send(send::Send),
    /// Lease messages and print them with the tokens that settle them
    Receive(receive::Receive),
    /// Tell the queue that messages are done
    Ack(settle::Ack),
    /// Give messages back, to be delivered again
    Nack(settle::Nack),
    /// Keep leases longer
    Extend(settle::Extend),
    /// Run a command per message: exit 0 acks it, anything else nacks it
    Work(work::Work),
    /// Look at messages without taking them
    Peek(look::Peek),
    /// Show how many messages there are, and in which state
    Stats(look::Stats),
    /// Call off messages that wait for their delivery time
    Cancel(remove::Cancel),
    /// Enqueue acked messages that the queue keeps anew
    Replay(replay::Replay),
    /// Remove all messages, leased and parked ones too
    Purge(remove::Purge),
    /// List, redrive and discard messages that were set aside
    #[command(subcommand)]
    Parked(parked::Parked),
}

impl Queue {
    pub(in crate::cli) async fn run(self, screen: Screen) -> Outcome {
        match self {
            Self::Send(send) => send.run(screen).await,
            Self::Receive(receive) => receive.run(screen).await,
            Self::Ack(ack) => ack.run(screen).await,
            Self::Nack(nack) => nack.run(screen).await,
            Self::Extend(extend) => extend.run(screen).await,
            Self::Work(work) => work.run(screen).await,
            Self::Peek(peek) => peek.run(screen).await,
            Self::Stats(stats) => stats.run(screen).await,
            Self::Cancel(cancel) => cancel.run(screen).await,
            Self::Replay(replay) => replay.run(screen).await,
            Self::Purge(purge) => purge.run(screen).await,
            Self::Parked(parked) => parked.run(screen).await,
        }
    }
}
