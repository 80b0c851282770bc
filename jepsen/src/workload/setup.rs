//! Making a run's topics, before its history begins.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use tonic::{Response, Status};
use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;
use weir_types::ErrorKind;

use crate::wire::{Link, Trouble};

/// How long a topic may take to be made, with its leaders.
const PATIENCE: Duration = Duration::from_mins(1);
/// Pause before another node is asked.
const PAUSE: Duration = Duration::from_millis(250);

/// A topic, or a link between two, that could not be made.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what} was not made within {} s: {}: {}", PATIENCE.as_secs(), last.code, last.text)]
pub struct SetupError {
    what: String,
    last: Trouble,
}

/// Makes the topics and the links between them, asking one node after the other.
///
/// # Errors
/// When one is not there in time.
pub async fn create(
    addresses: &[String],
    topics: Vec<v1::CreateTopicRequest>,
    links: Vec<v1::CreateLinkRequest>,
) -> Result<(), SetupError> {
    for topic in topics {
        let what = format!("topic `{}`", topic.name);
        let ask = |channel| {
            let topic = topic.clone();
            async move { AdminClient::new(channel).create_topic(topic).await }
        };
        make(addresses, what, ask).await?;
    }
    for link in links {
        let what = format!("the link from `{}` to `{}`", link.from, link.to);
        let ask = |channel| {
            let link = link.clone();
            async move { AdminClient::new(channel).create_link(link).await }
        };
        make(addresses, what, ask).await?;
    }
    Ok(())
}

async fn make<T, F>(addresses: &[String], what: String, ask: impl Fn(Channel) -> F) -> Result<(), SetupError>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let mut link = Link::default();
    let deadline = Instant::now() + PATIENCE;
    for address in addresses.iter().cycle() {
        match link.call(address, PATIENCE, &ask).await {
            Ok(_) => break,
            Err(trouble) if trouble.kind == ErrorKind::AlreadyExists => break,
            Err(last) if Instant::now() >= deadline => return Err(SetupError { what, last }),
            Err(_) => sleep(PAUSE).await,
        }
    }
    Ok(())
}
