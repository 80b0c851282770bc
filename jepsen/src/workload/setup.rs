//! Making a run's topics, before its history begins.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;
use weir_types::ErrorKind;

use crate::wire::{Link, Trouble};

/// How long a topic may take to be made, with its leaders.
const PATIENCE: Duration = Duration::from_mins(1);
/// Pause before another node is asked.
const PAUSE: Duration = Duration::from_millis(250);

/// A topic that could not be made.
#[derive(Clone, Debug, thiserror::Error)]
#[error("topic `{topic}` was not made within {} s: {}: {}", PATIENCE.as_secs(), last.code, last.text)]
pub struct SetupError {
    topic: String,
    last: Trouble,
}

/// Makes the topics, asking one node after the other.
///
/// # Errors
/// When a topic is not there in time.
pub async fn create(addresses: &[String], topics: Vec<v1::CreateTopicRequest>) -> Result<(), SetupError> {
    let mut link = Link::default();
    for topic in topics {
        let deadline = Instant::now() + PATIENCE;
        for address in addresses.iter().cycle() {
            let request = topic.clone();
            let asked = link
                .call(address, PATIENCE, |channel| async move {
                    AdminClient::new(channel).create_topic(request).await
                })
                .await;
            match asked {
                Ok(_) => break,
                Err(trouble) if trouble.kind == ErrorKind::AlreadyExists => break,
                Err(last) if Instant::now() >= deadline => {
                    return Err(SetupError { topic: topic.name, last });
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
    Ok(())
}
