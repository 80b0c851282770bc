//! The feature level: what the nodes' builds know, raising it, and asking before something of a later level is written.

use std::collections::BTreeMap;

use tokio::time::timeout;
use weir_metadata::{Addresses, Command, Feature, Level, PolicyChange, Reply};
use weir_types::{ErrorKind, NodeId, TopicPolicy, WeirError};

use super::admin::VIEW_TIMEOUT;
use super::nodes::SHOWN_WITHIN;
use crate::broker::Broker;
use crate::remote::{Answer, Request};
use crate::replica::unexpected;

impl Broker {
    /// The feature level that the cluster is at, as this node knows.
    pub fn level(&self) -> Level {
        self.registry(weir_metadata::Registry::level)
    }

    /// Lets the cluster write what a level lets in: the given one, or the highest that the builds of all members know. It is
    /// never lowered again. The level that the cluster is at then.
    pub async fn raise_level(&self, wanted: Option<Level>) -> Result<Level, WeirError> {
        self.freshen().await?;
        let members: Vec<(NodeId, Addresses)> = self
            .registry(|registry| registry.members().map(|node| (node.id, node.addresses.clone())).collect());
        let asked = members.into_iter().map(|(node, addresses)| async move {
            let knows = self.known_on(node, &addresses).await?;
            Some((node, knows))
        });
        let known: BTreeMap<NodeId, Level> =
            futures::future::join_all(asked).await.into_iter().flatten().collect();
        let common = known.values().min().copied().unwrap_or_default();
        let level = wanted.unwrap_or_else(|| common.max(self.level()));
        match self.metadata().propose(Command::RaiseLevel { level, known }).await? {
            Reply::LevelRaised { level } => {
                self.metadata().wait_for(SHOWN_WITHIN, |registry| registry.level() >= level).await;
                Ok(level)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// The highest level that a node's build knows; none when it does not answer. Builds that know nothing of levels answer
    /// that they do not understand.
    pub(super) async fn known_on(&self, node: NodeId, addresses: &Addresses) -> Option<Level> {
        if node == self.node() {
            return Some(Level::KNOWN);
        }
        match timeout(VIEW_TIMEOUT, self.ask(&addresses.client, &Request::Features)).await {
            Ok(Ok(Answer::Features { knows, .. })) => Some(knows),
            Ok(Err(error)) if error.code == "bad-peer-request" => Some(Level::FIRST),
            _ => None,
        }
    }

    /// Fails while the cluster must not write what some builds cannot read.
    pub(crate) async fn require(&self, feature: Feature) -> Result<(), WeirError> {
        if !self.allows(feature) {
            // Levels only rise: a copy that is behind may not know.
            self.freshen().await?;
        }
        if self.allows(feature) {
            return Ok(());
        }
        if self.registry(|registry| registry.cluster_id().is_none()) {
            return Err(WeirError::new(ErrorKind::Retry, "cluster-forming", "the cluster is not formed yet")
                .after_ms(100));
        }
        let (active, level) = (self.level(), feature.level());
        let message = format!("{feature} needs feature level {level}, the cluster is at {active}");
        Err(WeirError::new(ErrorKind::Invalid, "feature-not-enabled", message))
    }

    /// Whether something may be written, as this node knows.
    pub(crate) fn allows(&self, feature: Feature) -> bool {
        self.registry(|registry| registry.allows(feature))
    }

    pub(super) async fn require_for_policy(&self, policy: &TopicPolicy) -> Result<(), WeirError> {
        match policy {
            TopicPolicy::Queue(queue) if queue.fair_by.is_some() => self.require(Feature::Tenants).await,
            _ => Ok(()),
        }
    }

    pub(super) async fn require_for_changes(&self, changes: &[PolicyChange]) -> Result<(), WeirError> {
        if changes.iter().any(|change| matches!(change, PolicyChange::FairBy(_))) {
            return self.require(Feature::Tenants).await;
        }
        Ok(())
    }
}
