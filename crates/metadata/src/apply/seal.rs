//! `PartitionSealed` and `RetirePartition`: the keys of a split or merge move when its last parent reports that it takes in
//! nothing any more, and a parent goes when it reports that nothing is left in it.

use weir_types::{GroupId, Output};

use crate::lineage::{Lineage, Stage};
use crate::output::{Effect, Rejection, Reply};
use crate::registry::Registry;
use crate::topic::Topic;

impl Registry {
    /// A parent takes in nothing any more. When all parents of its children have said so, these own the keys.
    pub(crate) fn partition_sealed(
        &mut self,
        group: GroupId,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        // What was removed was sealed before.
        if self.is_deleted(group) || self.stage(group) == Stage::Sealed {
            return Ok(Reply::Reported);
        }
        if !self.partitions.contains_key(&group) {
            return Err(Rejection::GroupUnknown { group });
        }
        let lineage = self.lineages.get(&group).filter(|lineage| lineage.stage == Stage::Sealing);
        let Lineage { children, reported, .. } =
            lineage.ok_or(Rejection::PartitionNotSealed { group })?.clone();
        if reported {
            return Ok(Reply::Reported);
        }
        if !children.iter().all(|child| self.is_formed(*child)) {
            return Err(Rejection::ReshapeInProgress { group });
        }
        let parents = self.parents_of(&children);
        if parents.iter().all(|parent| *parent == group || self.lineages[parent].reported) {
            self.hand_over(&parents, &children, out);
        } else {
            let lineage = Lineage { reported: true, ..self.lineages[&group].clone() };
            self.put_lineage(group, lineage, out);
        }
        self.routing_changed(out);
        Ok(Reply::Reported)
    }

    /// The parents of the children of one step: all children have the same.
    fn parents_of(&self, children: &[GroupId]) -> Vec<GroupId> {
        let first = children.first().expect("what is to be sealed has children");
        self.lineages[first].parents.clone()
    }

    /// The keys of a step go from its parents to its children.
    fn hand_over(&mut self, parents: &[GroupId], children: &[GroupId], out: &mut Output<Effect>) {
        for parent in parents {
            let lineage = Lineage { stage: Stage::Sealed, reported: true, ..self.lineages[parent].clone() };
            self.put_lineage(*parent, lineage, out);
        }
        for child in children {
            let lineage = Lineage { stage: Stage::Open, ..self.lineages[child].clone() };
            self.put_lineage(*child, lineage, out);
        }
        let id = self.partitions[&children[0]].topic;
        let partitions = self.partitions(id).count() as u32;
        let topic = Topic { partitions, ..self.topics[&id].clone() };
        self.put_topic(topic, out);
    }

    /// A sealed partition holds nothing any more: it goes. Its parents go first, since its children name it and not them.
    pub(crate) fn retire_partition(
        &mut self,
        group: GroupId,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        if self.is_deleted(group) {
            return Ok(Reply::Reported);
        }
        if !self.partitions.contains_key(&group) {
            return Err(Rejection::GroupUnknown { group });
        }
        let stage = self.stage(group);
        let lineage = self.lineages.get(&group).filter(|_| stage != Stage::Open);
        let Lineage { parents, children, .. } =
            lineage.ok_or(Rejection::PartitionNotSealed { group })?.clone();
        if stage != Stage::Sealed {
            return Err(Rejection::ReshapeInProgress { group });
        }
        if let Some(parent) = parents.first() {
            return Err(Rejection::ReshapeInProgress { group: *parent });
        }
        self.drop_partition(group, out);
        for child in children {
            self.forget_parent(child, group, out);
        }
        self.finish_draining(out);
        self.routing_changed(out);
        Ok(Reply::Reported)
    }

    /// One that has neither parents nor children left is a partition like any other.
    fn forget_parent(&mut self, child: GroupId, parent: GroupId, out: &mut Output<Effect>) {
        let mut lineage = self.lineages[&child].clone();
        lineage.parents.retain(|known| *known != parent);
        if lineage.parents.is_empty() && lineage.children.is_empty() {
            self.drop_lineage(child, out);
        } else {
            self.put_lineage(child, lineage, out);
        }
    }
}
