//! `RaiseLevel`: from here on the cluster may hold what only builds of this level and later ones read. There is no way back.

use std::collections::BTreeMap;

use weir_types::{NodeId, Output};

use crate::feature::{Feature, Level};
use crate::output::{Effect, Rejection, Reply};
use crate::registry::Registry;

impl Registry {
    pub(crate) fn raise_level(
        &mut self,
        level: Level,
        known: &BTreeMap<NodeId, Level>,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        if level < self.level {
            return Err(Rejection::LevelLowered { active: self.level, asked: level });
        }
        for node in self.members() {
            match known.get(&node.id) {
                Some(knows) if *knows >= level => {}
                Some(knows) => {
                    return Err(Rejection::LevelUnknown { node: node.id, level, knows: *knows });
                }
                None => return Err(Rejection::LevelUntold { node: node.id, level }),
            }
        }
        if level > self.level {
            self.put_level(level, out);
            self.routing_changed(out);
        }
        Ok(Reply::LevelRaised { level })
    }

    /// The feature level that the cluster is at.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Whether something may be written, for whoever proposes it.
    pub fn allows(&self, feature: Feature) -> bool {
        self.level >= feature.level()
    }
}
