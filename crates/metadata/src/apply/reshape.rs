//! `Reshape`: partitions are split and merged. All steps of a command are planned or none; the keys move later (`seal.rs`).

use std::collections::BTreeSet;

use weir_types::limits::TOPIC_PARTITIONS_MAX;
use weir_types::{GroupId, KeyRange, NodeId, Output, RequestId, TopicId};

use crate::limits::PARTITIONS_MAX;
use crate::lineage::{Lineage, Reshape, Stage, halves};
use crate::link::LinkKind;
use crate::output::{Effect, Rejection, Reply};
use crate::placement::{self, Placement};
use crate::registry::Registry;
use crate::topic::{Partition, Topic};

pub(crate) struct ReshapeTopic {
    pub(crate) topic: TopicId,
    pub(crate) request: RequestId,
    pub(crate) steps: Vec<Reshape>,
    pub(crate) down: BTreeSet<NodeId>,
}

/// A step that is possible.
struct Planned {
    parents: Vec<GroupId>,
    /// What its children are to own, in order of keys.
    ranges: Vec<KeyRange>,
}

impl Registry {
    pub(crate) fn reshape(
        &mut self,
        asked: &ReshapeTopic,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let ReshapeTopic { topic: id, request, steps, down } = asked;
        let topic = self.whole_topic(*id)?;
        if let Some(answer) = self.reshaped_by(*request, *id) {
            return Ok(answer);
        }
        let plan = self.plan_steps(topic, steps)?;
        let count = plan.iter().map(|step| step.ranges.len()).sum();
        let mut placements = self.place_children(count, topic.replicas, down)?.into_iter();
        let (mut parents, mut children) = (Vec::new(), Vec::new());
        for step in plan {
            let places = placements.by_ref().take(step.ranges.len()).collect();
            children.extend(self.begin_step(*id, *request, &step, places, out));
            parents.extend(step.parents);
        }
        if !parents.is_empty() {
            self.routing_changed(out);
        }
        Ok(Reply::Reshaped { parents, children })
    }

    /// A topic that is somebody's: one that is being restored is not yet.
    pub(crate) fn whole_topic(&self, topic: TopicId) -> Result<&Topic, Rejection> {
        let known = self.topics.get(&topic).filter(|_| !self.is_restoring(topic));
        known.ok_or(Rejection::TopicNotFound { topic })
    }

    /// What a request was answered that has been carried out, as long as its children are remembered as such.
    fn reshaped_by(&self, request: RequestId, topic: TopicId) -> Option<Reply> {
        let (mut parents, mut children) = (Vec::new(), Vec::new());
        for partition in self.all_partitions(topic) {
            let lineage = self.lineages.get(&partition.group);
            let Some(lineage) = lineage.filter(|lineage| lineage.request == Some(request)) else { continue };
            children.push(partition.group);
            for parent in &lineage.parents {
                // Both children of a split name the same one.
                if !parents.contains(parent) {
                    parents.push(*parent);
                }
            }
        }
        (!children.is_empty()).then_some(Reply::Reshaped { parents, children })
    }

    fn plan_steps(&self, topic: &Topic, steps: &[Reshape]) -> Result<Vec<Planned>, Rejection> {
        let fed = self.links().any(|link| link.kind == LinkKind::Subscription && link.to == topic.id);
        let mut plan = Vec::with_capacity(steps.len());
        let mut seen = BTreeSet::new();
        for step in steps {
            let planned = self.plan_step(topic.id, *step)?;
            if fed && matches!(step, Reshape::Merge { .. }) {
                return Err(step.refused("a subscription feeds their queue"));
            }
            if !planned.parents.iter().all(|parent| seen.insert(*parent)) {
                return Err(step.refused("another step of the request changes it, too"));
            }
            plan.push(planned);
        }
        self.check_room(topic.id, &plan)?;
        Ok(plan)
    }

    fn plan_step(&self, topic: TopicId, step: Reshape) -> Result<Planned, Rejection> {
        match step {
            Reshape::Split { parent, at } => {
                let range = self.parent(topic, parent)?.range;
                let ranges = halves(range, at).map_err(|reason| step.refused(reason))?;
                Ok(Planned { parents: vec![parent], ranges: ranges.into() })
            }
            Reshape::Merge { left, right } => {
                let (first, second) = (self.parent(topic, left)?.range, self.parent(topic, right)?.range);
                if first.last().0.checked_add(1) != Some(second.first().0) {
                    return Err(step.refused("the second does not begin where the first ends"));
                }
                let both = KeyRange::new(first.first(), second.last());
                let both = both.expect("the second begins behind the first");
                Ok(Planned { parents: vec![left, right], ranges: vec![both] })
            }
        }
    }

    /// A partition that may be split or merged now.
    fn parent(&self, topic: TopicId, group: GroupId) -> Result<&Partition, Rejection> {
        let known = self.partitions.get(&group).filter(|partition| partition.topic == topic);
        let partition = known.ok_or(Rejection::GroupUnknown { group })?;
        match self.stage(group) {
            Stage::Open => Ok(partition),
            Stage::Coming | Stage::Sealing => Err(Rejection::ReshapeInProgress { group }),
            Stage::Sealed => Err(Rejection::PartitionSealed { group }),
        }
    }

    /// Whether the topic and the cluster may have as many partitions, when everything that is under way has come to its end.
    fn check_room(&self, topic: TopicId, plan: &[Planned]) -> Result<(), Rejection> {
        let comes: usize = plan.iter().map(|step| step.ranges.len()).sum();
        let goes: usize = plan.iter().map(|step| step.parents.len()).sum();
        let wanted = (self.partitions_ahead(topic).count() + comes - goes) as u32;
        if wanted > TOPIC_PARTITIONS_MAX {
            return Err(Rejection::TooManyPartitions { wanted, limit: TOPIC_PARTITIONS_MAX });
        }
        let wanted = (self.partitions.len() + comes) as u32;
        if wanted as usize > PARTITIONS_MAX {
            return Err(Rejection::TooManyPartitions { wanted, limit: PARTITIONS_MAX as u32 });
        }
        Ok(())
    }

    /// The partitions that own the keys of a topic when all that is under way has come to its end, in order of number.
    pub(crate) fn partitions_ahead(&self, topic: TopicId) -> impl Iterator<Item = &Partition> {
        let ahead =
            |partition: &&Partition| matches!(self.stage(partition.group), Stage::Open | Stage::Coming);
        self.all_partitions(topic).filter(ahead)
    }

    /// Places children on nodes that are heard. Where these are too few, as many others are taken as it needs: a majority
    /// can form the group, and the others come to it later.
    fn place_children(
        &self,
        count: usize,
        replicas: u32,
        down: &BTreeSet<NodeId>,
    ) -> Result<Vec<Placement>, Rejection> {
        let heard = |candidate: &placement::Candidate| !down.contains(&candidate.node);
        let (mut nodes, mut others): (Vec<_>, Vec<_>) = self.candidates().into_iter().partition(heard);
        others.sort_by_key(|candidate| (candidate.replicas, candidate.node));
        let missing = (replicas as usize).saturating_sub(nodes.len());
        nodes.extend(others.into_iter().take(missing));
        placement::place(&nodes, count, replicas as usize)
            .ok_or(Rejection::NotEnoughNodes { wanted: replicas, have: nodes.len() as u32 })
    }

    /// The children of a step, which come, and its parents, which are to be sealed.
    fn begin_step(
        &mut self,
        topic: TopicId,
        request: RequestId,
        step: &Planned,
        places: Vec<Placement>,
        out: &mut Output<Effect>,
    ) -> Vec<GroupId> {
        let highest = self.all_partitions(topic).last().map(|partition| partition.index);
        let indexes = highest.map_or(0, |highest| highest + 1)..;
        let mut children = Vec::with_capacity(places.len());
        for ((index, range), placement) in indexes.zip(&step.ranges).zip(places) {
            let group = self.formed().take_group();
            let lineage = Lineage {
                stage: Stage::Coming,
                parents: step.parents.clone(),
                children: Vec::new(),
                request: Some(request),
                reported: false,
            };
            // Its lineage first: a partition without one would own its keys at once.
            self.put_lineage(group, lineage, out);
            self.put_partition(Partition { group, topic, index, range: *range }, out);
            let membership = self.unformed(placement);
            self.put_membership(group, membership, out);
            children.push(group);
        }
        for parent in &step.parents {
            let known = self.lineages.get(parent);
            let lineage = Lineage {
                stage: Stage::Sealing,
                parents: known.map_or_else(Vec::new, |known| known.parents.clone()),
                children: children.clone(),
                request: known.and_then(|known| known.request),
                reported: false,
            };
            self.put_lineage(*parent, lineage, out);
        }
        children
    }
}

impl Reshape {
    fn refused(self, reason: impl Into<String>) -> Rejection {
        let reason = reason.into();
        match self {
            Self::Split { parent, .. } => Rejection::PartitionNotSplittable { group: parent, reason },
            Self::Merge { left, right } => Rejection::PartitionsNotMergeable { left, right, reason },
        }
    }
}
