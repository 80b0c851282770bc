//! Readers of a whole stream whose partitions are split and merged: a partition is read only when those whose keys it
//! took over were read to their ends.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_checker::Consumer;

use super::actor::Actor;
use super::read::{Polling, poll};
use super::stage::Stage;
use crate::wire::Route;

/// How long a node is asked to wait for records: there are more partitions to look at.
const WAIT: Duration = Duration::from_millis(100);
/// Between two rounds, and when there is nothing to read until more is known.
const PACE: Duration = Duration::from_millis(50);
/// Of a thousand rounds, so many are followed by a new reader, from the beginning.
const ANEW_PERMILLE: u64 = 5;

/// How far one partition was read.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    next: u64,
    /// It is sealed, and that was its end.
    done: bool,
}

/// A reader.
pub(super) struct Follower {
    actor: Actor,
    topic: String,
    consumer: Consumer,
    places: BTreeMap<u32, Place>,
}

impl Follower {
    pub(super) fn new(stage: Stage, number: u64, topic: String) -> Self {
        let consumer = stage.history.consumer();
        Self { actor: Actor::new(stage, number), topic, consumer, places: BTreeMap::new() }
    }

    /// Reads until the run is over.
    pub(super) async fn run(mut self) {
        while !self.actor.stage.stop.is_cancelled() {
            let partitions = self.actor.stage.partitions(&self.topic).await;
            for route in open(&partitions, &self.places) {
                self.read(route).await;
            }
            self.actor.stage.sleep(PACE).await;
            if self.actor.stage.careless() && self.actor.dice.below(1_000) < ANEW_PERMILLE {
                self.consumer = self.actor.stage.history.consumer();
                self.places.clear();
            }
        }
    }

    async fn read(&mut self, route: &Route) {
        let place = self.places.entry(route.group).or_default();
        let polling = Polling { consumer: self.consumer, group: None };
        match poll(&mut self.actor, route, &polling, place.next, WAIT, None).await {
            Ok(chunk) => {
                place.next = chunk.next(place.next);
                place.done = chunk.sealed && place.next >= chunk.end;
            }
            Err(trouble) => self.actor.rest(&trouble).await,
        }
    }
}

/// The partitions that may be read now. A parent that is gone holds nothing any more.
fn open<'a>(partitions: &'a [Route], places: &BTreeMap<u32, Place>) -> Vec<&'a Route> {
    let is_done = |group: &u32| places.get(group).is_some_and(|place| place.done);
    let is_there = |group: &u32| partitions.iter().any(|route| route.group == *group);
    let may = |route: &&Route| {
        !is_done(&route.group) && route.parents.iter().all(|parent| is_done(parent) || !is_there(parent))
    };
    partitions.iter().filter(may).collect()
}

#[cfg(test)]
mod tests {
    use weir_types::KeyRange;

    use super::*;

    fn route(group: u32, parents: &[u32]) -> Route {
        Route {
            topic: "t".to_owned(),
            partition: group - 10,
            group,
            leader: None,
            voters: Vec::new(),
            range: KeyRange::ALL,
            sealed: false,
            parents: parents.to_vec(),
        }
    }

    #[test]
    fn a_child_is_open_when_all_its_parents_were_read_to_their_ends() {
        let partitions =
            [route(10, &[]), route(11, &[]), route(12, &[10, 11]), route(13, &[12]), route(14, &[9])];
        let groups = |done: &[u32]| {
            let places = done.iter().map(|group| (*group, Place { next: 5, done: true })).collect();
            open(&partitions, &places).iter().map(|route| route.group).collect::<Vec<_>>()
        };
        assert_eq!(groups(&[]), [10, 11, 14], "what the parent of 14 held is gone");
        assert_eq!(groups(&[10]), [11, 14]);
        assert_eq!(groups(&[10, 11]), [12, 14]);
        assert_eq!(groups(&[10, 11, 12, 14]), [13]);
    }
}
