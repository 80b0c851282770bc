//! Links between topics: made, ended, listed.

use weir_metadata::{Command, Link, LinkKind, Reply};
use weir_types::{TopicKind, WeirError};

use crate::broker::Broker;
use crate::links::subscriptions::group_name;
use crate::remote::{Request, ResetTo};
use crate::replica::unexpected;

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
        let (source, destination) = (self.topic(from)?, self.topic(to)?);
        let known = self.registry(|registry| registry.link(kind, source.id, destination.id).is_some());
        if kind == LinkKind::Subscription && !known && source.policy.kind() == TopicKind::Stream {
            for (_, group) in self.partitions_of(source.id) {
                let consumer_group = group_name(destination.id);
                self.at_leader(group, Request::ResetPosition { group, consumer_group, to: start }).await?;
            }
        }
        let command = Command::CreateLink { kind, from: source.id, to: destination.id };
        match self.metadata().propose(command).await? {
            Reply::LinkCreated { link: id } => {
                let created = self.wall();
                let link = self.registry(|registry| registry.links().find(|link| link.id == id).copied());
                let link = link.unwrap_or(Link { id, kind, from: source.id, to: destination.id, created });
                Ok(NamedLink { link, from: source.name, to: destination.name })
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Ends a link. What is on its way arrives all the same.
    pub async fn delete_link(&self, kind: LinkKind, from: &str, to: &str) -> Result<(), WeirError> {
        let (source, destination) = (self.topic(from)?, self.topic(to)?);
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
            let named = |link: &Link| NamedLink { link: *link, from: name(link.from), to: name(link.to) };
            registry.links().map(named).collect()
        })
    }
}
