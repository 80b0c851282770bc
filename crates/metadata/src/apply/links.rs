//! `CreateLink` and `DeleteLink`.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::{GroupId, Offset, Output, TopicId, TopicKind, WallClock};

use crate::limits::LINKS_MAX;
use crate::lineage::Stage;
use crate::link::{Link, LinkKind};
use crate::output::{Effect, Rejection, Reply};
use crate::registry::Registry;
use crate::topic::{Partition, Topic};

pub(crate) struct CreateLink {
    pub(crate) kind: LinkKind,
    pub(crate) from: TopicId,
    pub(crate) to: TopicId,
    pub(crate) starts: BTreeMap<GroupId, Offset>,
    pub(crate) created: WallClock,
}

impl Registry {
    /// Making a link that is there already changes nothing.
    pub(crate) fn create_link(
        &mut self,
        asked: CreateLink,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let CreateLink { kind, from, to, starts, created } = asked;
        let (from_topic, to_topic) =
            (self.of_kind(from, Some(kind.source()), kind)?, self.of_kind(to, kind.destination(), kind)?);
        let (source, destination) = (from_topic.name.clone(), to_topic.name.clone());
        if let Some(known) = self.link(kind, from, to) {
            return Ok(Reply::LinkCreated { link: known.id });
        }
        let other = self.links.values().find(|link| (link.kind, link.from) == (kind, from));
        if let Some(other) = other.filter(|_| kind.is_single()) {
            let to = self.topics.get(&other.to).map_or_else(String::new, |topic| topic.name.clone());
            return Err(Rejection::LinkExists { kind, from: source, to });
        }
        if self.leads_to(to, from) {
            return Err(Rejection::LinkCycle { kind, from: source, to: destination });
        }
        self.check_linkable(from_topic)?;
        self.check_linkable(to_topic)?;
        if self.links.len() >= LINKS_MAX {
            return Err(Rejection::TooManyLinks { limit: LINKS_MAX });
        }
        self.routing_changed(out);
        let id = self.formed().version as u32;
        self.put_link(Link { id, kind, from, to, created, starts }, out);
        Ok(Reply::LinkCreated { link: id })
    }

    /// What is on its way arrives all the same.
    pub(crate) fn delete_link(
        &mut self,
        kind: LinkKind,
        (from, to): (TopicId, TopicId),
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let Some(link) = self.link(kind, from, to).map(|link| link.id) else {
            return Err(Rejection::LinkNotFound { kind, from, to });
        };
        self.drop_link(link, out);
        self.routing_changed(out);
        Ok(Reply::LinkDeleted { link })
    }

    fn of_kind(&self, id: TopicId, wanted: Option<TopicKind>, kind: LinkKind) -> Result<&Topic, Rejection> {
        let topic = self.topics.get(&id).ok_or(Rejection::TopicNotFound { topic: id })?;
        let is = topic.policy.kind();
        match wanted.filter(|wanted| *wanted != is) {
            None => Ok(topic),
            Some(wanted) => {
                let (name, setting) = (topic.name.clone(), kind.to_string());
                Err(Rejection::WrongKind { name, is, wanted, setting })
            }
        }
    }

    /// Links out of a topic and into it wait for its splits and merges.
    fn check_linkable(&self, topic: &Topic) -> Result<(), Rejection> {
        let under_way =
            |partition: &&Partition| matches!(self.stage(partition.group), Stage::Coming | Stage::Sealing);
        match self.all_partitions(topic.id).find(under_way) {
            Some(partition) => Err(Rejection::ReshapeInProgress { group: partition.group }),
            None => Ok(()),
        }
    }

    /// Whether what is in `from` may come to `to`, over whatever links; every topic leads to itself.
    fn leads_to(&self, from: TopicId, to: TopicId) -> bool {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(topic) = next.pop() {
            if topic == to {
                return true;
            }
            if seen.insert(topic) {
                next.extend(self.links.values().filter(|link| link.from == topic).map(|link| link.to));
            }
        }
        false
    }
}
