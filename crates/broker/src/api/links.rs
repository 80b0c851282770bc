//! Links between topics: made, ended, listed.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_metadata::{Command, Link, LinkKind, Registry, Reply};
use weir_types::{ErrorKind, WeirError};

use crate::broker::Broker;
use crate::remote::{self, Answer, Request, ResetTo};
use crate::replica::unexpected;

/// How long a new link may take to reach this node's copy of the registry.
const LINK_TIMEOUT: Duration = Duration::from_secs(2);

/// A link, with the names of its topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedLink {
    /// What goes over it.
    pub link: Link,
    /// Where it comes from.
    pub from: String,
    /// Where it goes to.
    pub to: String,
}

impl Broker {
    /// Makes a link; one that is there already stays as it is. A subscription begins at `start`.
    pub async fn create_link(
        &self,
        kind: LinkKind,
        from: &str,
        to: &str,
        start: ResetTo,
    ) -> Result<NamedLink, WeirError> {
        let (source, destination) = (self.find_topic(from).await?, self.find_topic(to).await?);
        let mut starts = BTreeMap::new();
        if kind == LinkKind::Subscription && source.policy.kind() == kind.source() {
            for (_, group) in self.partitions_with_sealed(source.id) {
                match self.at_leader(group, Request::Locate { group, place: start }).await? {
                    Answer::Located(offset) => starts.insert(group, offset),
                    other => return Err(remote::unexpected(&other)),
                };
            }
        }
        let command = Command::CreateLink { kind, from: source.id, to: destination.id, starts };
        match self.metadata().propose(command).await? {
            Reply::LinkCreated { link: id } => {
                let there = |registry: &Registry| registry.links().any(|link| link.id == id);
                self.metadata().wait_for(LINK_TIMEOUT, there).await;
                self.links().into_iter().find(|named| named.link.id == id).ok_or_else(|| {
                    let message = format!("link {id} was made, and has not reached this node yet");
                    WeirError::new(ErrorKind::Retry, "link-starting", message).after_ms(100)
                })
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Ends a link. What is on its way arrives all the same.
    pub async fn delete_link(&self, kind: LinkKind, from: &str, to: &str) -> Result<(), WeirError> {
        let (source, destination) = (self.find_topic(from).await?, self.find_topic(to).await?);
        let command = Command::DeleteLink { kind, from: source.id, to: destination.id };
        match self.metadata().propose(command).await? {
            Reply::LinkDeleted { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// All links, in order of creation.
    pub fn links(&self) -> Vec<NamedLink> {
        self.registry(|registry| {
            let name = |topic| registry.topic(topic).map_or_else(String::new, |topic| topic.name.clone());
            let named =
                |link: &Link| NamedLink { link: link.clone(), from: name(link.from), to: name(link.to) };
            registry.links().map(named).collect()
        })
    }
}
