//! `weir topic forward`, `dead-letters`, `subscribe`, `links`: what goes from one topic to another by itself.

use clap::Args;
use serde_json::json;
use weir_client::{LinkKind, ResetTo};

use crate::cli::Connection;
use crate::cli::value::Place;
use crate::failure::Outcome;
use crate::output::{Done, LinkList, LinkView, Screen};

/// Messages that leave a queue.
#[derive(Debug, Args)]
struct Leaving {
    /// The queue
    queue: String,
    /// A stream or another queue
    #[arg(long, value_name = "TOPIC")]
    to: String,
    /// End it; what is on its way arrives all the same
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Every message that is ready leaves the queue for the other topic, exactly once and in
the order of its key. Workers of the queue may take messages meanwhile.

Examples:
  weir topic forward done --to events
  weir topic forward done --to events --off")]
pub(in crate::cli) struct Forward {
    #[command(flatten)]
    leaving: Leaving,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Every message that the queue parks leaves it for the other topic, exactly once. Why it
was parked, its attempts and where it came from are in the headers
weir-dead-letter-reason, weir-dead-letter-attempts and weir-dead-letter-origin.
Without this, parked messages stay in place: see `weir queue parked`.

Examples:
  weir topic dead-letters tasks --to graveyard
  weir topic dead-letters tasks --to graveyard --off")]
pub(in crate::cli) struct DeadLetters {
    #[command(flatten)]
    leaving: Leaving,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Every record of the stream, from where you say, becomes a message of the queue, exactly
once and in the order of its key. The stream keeps its records.

Examples:
  weir topic subscribe events --as mails
  weir topic subscribe events --as mails --from latest
  weir topic subscribe events --as mails --off")]
pub(in crate::cli) struct Subscribe {
    /// The stream
    stream: String,
    /// The queue that it feeds
    #[arg(long = "as", value_name = "QUEUE")]
    queue: String,
    /// Where to begin; -1h is an hour ago
    #[arg(long, value_name = Place::SYNTAX, default_value = "earliest", allow_hyphen_values = true)]
    from: Place,
    /// End it; what is on its way arrives all the same
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir topic links")]
pub(in crate::cli) struct Links {
    #[command(flatten)]
    connection: Connection,
}

/// One end of a link to the other.
struct Pair {
    kind: LinkKind,
    from: String,
    to: String,
}

impl Forward {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        self.leaving.run(LinkKind::Forward, screen).await
    }
}

impl DeadLetters {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        self.leaving.run(LinkKind::DeadLetter, screen).await
    }
}

impl Leaving {
    async fn run(self, kind: LinkKind, screen: Screen) -> Outcome {
        let pair = Pair { kind, from: self.queue, to: self.to };
        pair.set(&self.connection, ResetTo::Earliest, self.off, screen).await
    }
}

impl Subscribe {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let pair = Pair { kind: LinkKind::Subscription, from: self.stream, to: self.queue };
        pair.set(&self.connection, self.from.into(), self.off, screen).await
    }
}

impl Links {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let links = self.connection.admin().await?.list_links().await?;
        screen.show(&LinkList::of(&links))
    }
}

impl Pair {
    async fn set(self, connection: &Connection, start: ResetTo, off: bool, screen: Screen) -> Outcome {
        let Self { kind, from, to } = self;
        let admin = connection.admin().await?;
        if off {
            admin.delete_link(kind, &from, &to).await?;
            let text = format!("nothing goes from `{from}` to `{to}` as {} any more", LinkView::name(kind));
            return screen
                .show(&Done { text, data: json!({ "kind": LinkView::name(kind), "from": from, "to": to }) });
        }
        let link = admin.create_link(kind, &from, &to, start).await?;
        let what = match kind {
            LinkKind::Forward => "messages",
            LinkKind::DeadLetter => "dead letters",
            LinkKind::Subscription => "records",
        };
        screen.show(&Done { text: format!("{what} of `{from}` go to `{to}`"), data: LinkView::of(&link) })
    }
}
