//! What a fault may touch, and whom it meets.

use std::fmt::Display;

use weir_storage::Backup;

use super::super::cluster::{Cluster, Down, name};
use super::super::network::Lane;
use super::super::trace::Trace;
use super::super::world::{HostId, Net, World};
use super::Aim;

/// What a fault may touch.
pub(in super::super) struct Run<'a> {
    pub(in super::super) world: &'a mut World,
    pub(in super::super) cluster: &'a Cluster,
    pub(in super::super) trace: &'a Trace,
    /// Nodes that went down in this step.
    pub(in super::super) taken_down: Vec<usize>,
    /// What the faults brought to light.
    pub(in super::super) broken: Vec<String>,
}

impl Run<'_> {
    pub(super) fn note(&self, line: impl Display) {
        self.trace.note_at(self.world.elapsed(), line);
    }

    pub(super) fn net(&self) -> &Net {
        self.world.net()
    }

    pub(super) fn take_down(&mut self, node: usize, down: Down) {
        let lost = self.cluster.take_down(self.world, node, down);
        self.taken_down.push(node);
        self.note(format_args!("{} is down, {lost} batches are lost", name(node)));
    }

    /// A node whose disk failed a write must have stopped.
    pub(super) fn check_stopped(&mut self, node: usize) {
        if self.cluster.went_on_after_failure(node) {
            self.broken.push(format!(
                "failed write: the disk of {} failed a write, and the node went on",
                name(node)
            ));
        }
    }

    /// The node's database becomes the copy; its superblock stays.
    pub(super) fn put_back(&mut self, node: usize, copy: &Backup) {
        let loses = self.cluster.put_back(node, copy);
        self.note(format_args!(
            "{} has an old database, acknowledged writes are missing: {loses}",
            name(node)
        ));
    }

    pub(super) fn start(&mut self, node: usize) {
        self.world.start(node);
    }

    /// Whom a fault meets; none when it is too early. `raised` are the nodes that have just come into a later term.
    pub(super) fn resolve(&self, aim: Aim, raised: &[usize]) -> Option<usize> {
        let nodes = self.cluster.size();
        match aim {
            Aim::Node(node) => Some(node % nodes),
            Aim::LeaderOf(number) => Some(self.leader_of(number)),
            Aim::BesideLeaderOf(number) => Some((self.leader_of(number) + 1) % nodes),
            Aim::Voter => raised.first().copied(),
        }
    }

    /// Of all groups that are led, the leader of one; any node while nobody leads.
    fn leader_of(&self, number: usize) -> usize {
        let mut led = Vec::new();
        for node in 0..self.cluster.size() {
            let Some(broker) = self.cluster.broker(node) else { continue };
            let here = broker.leaderships().into_iter().filter(|(_, leadership)| leadership.here);
            led.extend(here.map(|(group, _)| (group, node)));
        }
        led.sort_unstable();
        match led.len() {
            0 => number % self.cluster.size(),
            groups => led[number % groups].1,
        }
    }

    pub(super) fn others(&self, node: usize) -> impl Iterator<Item = HostId> + use<> {
        (0..self.cluster.size()).filter(move |other| *other != node)
    }

    pub(super) fn everybody_else(&self, node: usize) -> impl Iterator<Item = HostId> + use<> {
        self.others(node).chain([self.cluster.size()])
    }

    pub(super) fn each_lane(&self, node: usize, away: Option<usize>, mut each: impl FnMut(usize, usize)) {
        let nodes = self.cluster.size();
        match away {
            Some(away) => each(node, (node + away) % nodes),
            None => (1..nodes).for_each(|away| each(node, (node + away) % nodes)),
        }
    }

    pub(super) fn all_lanes(&self, lane: Lane, cut: bool) {
        let nodes = self.cluster.size();
        for a in 0..nodes {
            for b in a + 1..nodes {
                if cut {
                    self.cluster.cuts.cut(a, b, lane);
                } else {
                    self.cluster.cuts.mend(a, b, lane);
                }
            }
        }
    }
}
