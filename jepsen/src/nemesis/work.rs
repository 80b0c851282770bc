//! A step under way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use weir_checker::{Fault, FaultPhase};

use super::claims::Part;
use super::target::Ground;
use super::{Harm, Kind, Leaders, Led, Shared, Step, Target, health};
use crate::env::{Error, Link, Node, Result, Rule, Site};

/// How long a step waits for the very nodes it was meant for while another one has them, and how often it looks.
const CLAIMING: Duration = Duration::from_secs(2);
const CLAIM_EVERY: Duration = Duration::from_millis(50);
/// How long a node may take at its start to notice that its data are damaged.
const NOTICING: Duration = Duration::from_secs(10);
/// How long a node may take to answer after its start; whether it gets ready is not a fault's business.
const ALIVE: Duration = Duration::from_secs(20);

/// What a family of faults works with.
pub(crate) struct Work<'a> {
    shared: &'a Shared,
    step: &'a Step,
    leaders: Leaders,
    id: u64,
    nodes: Vec<String>,
    /// Decides what the step leaves open.
    pub(crate) dice: SmallRng,
    /// Decides whom it befalls, where that is open.
    whom: SmallRng,
    began: bool,
}

impl<'a> Work<'a> {
    pub(crate) fn new(shared: &'a Shared, step: &'a Step, leaders: Leaders, id: u64) -> Self {
        // Dice of their own for the target: what else is drawn stays the same when a replay names the nodes.
        let mut whom = SmallRng::seed_from_u64(!step.seed);
        let names: Vec<String> = shared.site.founders().iter().map(|node| node.name().to_owned()).collect();
        let ground = Ground { nodes: &names, fragile: &shared.fragile, leaders: &leaders };
        let nodes = ground.resolve(step.kind, &step.target, &mut whom);
        let dice = SmallRng::seed_from_u64(step.seed);
        Self { shared, step, leaders, id, nodes, dice, whom, began: false }
    }

    /// Does the step's work while nobody else has its nodes, and writes down if it failed.
    pub(crate) fn perform(mut self, work: impl FnOnce(&mut Self) -> Result<()>) {
        let parts = Part::of(self.step.kind);
        // A step that never got its nodes did not happen: it is not in the history, and coverage misses it.
        if !self.claim(parts) {
            return;
        }
        let outcome = work(&mut self);
        self.shared.claims.give_back(&self.nodes, parts);
        self.shared.site.links().clear(self.id);
        self.shared.sick.remove(self.id);
        if let Err(error) = outcome {
            let phase = if self.began { FaultPhase::End } else { FaultPhase::Once };
            self.write(phase, Vec::new(), String::new(), Some(error.to_string()));
        }
    }

    /// Waits until nobody else has its nodes; a step for one node goes elsewhere when that takes long.
    fn claim(&mut self, parts: &[Part]) -> bool {
        let patient_until = Instant::now() + CLAIMING;
        while !self.shared.is_healing() {
            if self.shared.claims.take(&self.nodes, parts) {
                return true;
            }
            if Instant::now() >= patient_until {
                self.go_elsewhere(parts);
            }
            self.rest(CLAIM_EVERY);
        }
        false
    }

    fn go_elsewhere(&mut self, parts: &[Part]) {
        if !matches!(self.step.target, Target::Leader(_) | Target::Follower(_) | Target::Random) {
            return;
        }
        let allowed: Vec<String> = match self.step.kind.harm() {
            Harm::Passing => self.shared.site.founders().iter().map(|node| node.name().to_owned()).collect(),
            Harm::Lasting => self.shared.fragile.clone(),
        };
        let free = allowed.into_iter().filter(|node| self.shared.claims.are_free(node, parts));
        let free: Vec<String> = free.collect();
        if let (1, Some(node)) = (self.nodes.len(), free.choose(&mut self.whom)) {
            self.nodes = vec![node.clone()];
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.step.kind
    }

    pub(crate) fn site(&self) -> &'a Site {
        &self.shared.site
    }

    /// Who led what when the step began.
    pub(crate) fn leaders(&self) -> &Leaders {
        &self.leaders
    }

    /// The partition that its node should lead and does not, as it may lose data and the step was meant for a leader.
    pub(crate) fn should_lead(&self) -> Option<Led> {
        let Target::Leader(place) = self.step.target else { return None };
        let follows = self.step.kind.harm() == Harm::Lasting && self.leaders.led_by(&self.nodes) == 0;
        self.leaders.at(place).filter(|_| follows).cloned()
    }

    /// The partition is led by the step's node now.
    pub(crate) fn leads(&mut self, partition: &Led) {
        let known = self.leaders.partitions.iter_mut();
        let found = known
            .into_iter()
            .find(|led| (&led.topic, led.partition) == (&partition.topic, partition.partition));
        if let Some(led) = found {
            led.leader = self.nodes.first().cloned();
        }
    }

    /// For how long the step lasts.
    pub(crate) fn lasts(&self) -> Duration {
        self.step.lasts
    }

    /// The names of the nodes that it befalls.
    pub(crate) fn names(&self) -> &[String] {
        &self.nodes
    }

    /// The nodes that it befalls.
    pub(crate) fn nodes(&self) -> Vec<&'a Node> {
        let shared = self.shared;
        self.nodes.iter().filter_map(|name| shared.site.node(name)).collect()
    }

    /// The first of them; an error when there is none.
    pub(crate) fn node(&self) -> Result<&'a Node> {
        let first = self.nodes().first().copied();
        first.ok_or_else(|| {
            Error::Unable(format!("`{}` names no node that this may befall", self.step.target))
        })
    }

    /// Does the same to all nodes at once.
    pub(crate) fn each(&self, work: impl Fn(&Node) -> Result<()> + Sync) -> Result<()> {
        self.node()?;
        let work = &work;
        std::thread::scope(|scope| {
            let all: Vec<_> = self.nodes().into_iter().map(|node| scope.spawn(move || work(node))).collect();
            let results =
                all.into_iter().map(|one| one.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
            // All were tried before the first failure is told.
            results.collect::<Vec<_>>().into_iter().collect()
        })
    }

    /// The fault begins. Its nodes cannot be expected to work until it ends.
    pub(crate) fn begin_sick(&mut self, detail: impl Into<String>) {
        self.shared.sick.add(self.id, self.nodes.clone());
        self.begin(detail);
    }

    /// The fault begins. Its nodes go on working.
    pub(crate) fn begin(&mut self, detail: impl Into<String>) {
        self.began = true;
        self.write(FaultPhase::Begin, Vec::new(), detail.into(), None);
    }

    /// The fault begins, and these links follow these rules until it ends.
    pub(crate) fn begin_links(&mut self, rules: BTreeMap<Link, Rule>, detail: impl Into<String>) {
        let links = rules.keys().copied().collect();
        self.shared.site.links().set(self.id, rules);
        self.began = true;
        self.write(FaultPhase::Begin, links, detail.into(), None);
    }

    /// The fault befalls one of its nodes only.
    pub(crate) fn only(&mut self, node: &Node) {
        let others: Vec<String> = self.nodes.iter().filter(|name| *name != node.name()).cloned().collect();
        self.shared.claims.give_back(&others, Part::of(self.step.kind));
        self.nodes.retain(|name| name == node.name());
    }

    /// The fault befalls this node, which no target can name; false when another one has it.
    pub(crate) fn befall(&mut self, node: &Node) -> bool {
        let name = vec![node.name().to_owned()];
        let free = self.shared.claims.take(&name, Part::of(self.step.kind));
        if free {
            self.nodes = name;
        }
        free
    }

    /// Its nodes have lost data: until everything is healed, nobody counts on them, and for the rest of the run they may
    /// end when they notice.
    pub(crate) fn remember_damage(&self) {
        self.shared.damaged.lock().extend(self.nodes.iter().cloned());
        self.nodes().into_iter().for_each(Node::may_die);
    }

    /// Starts nodes whose data are damaged. Those that refuse, and end for it, are wiped and start blank, as their
    /// operator would do it. In words which did.
    pub(crate) fn start_damaged(&self) -> Result<String> {
        self.each(|node| {
            node.start()?;
            let _ = node.ready(NOTICING, &|| self.is_healing());
            Ok(())
        })?;
        let refusing: Vec<&Node> = self.nodes().into_iter().filter(|node| !node.is_running()).collect();
        for node in &refusing {
            node.wipe()?;
            node.start()?;
            let _ = node.alive(ALIVE, &|| self.is_healing());
        }
        let names: Vec<&str> = refusing.iter().map(|node| node.name()).collect();
        Ok(if names.is_empty() {
            String::new()
        } else {
            format!("{} refused, and starts blank", names.join(", "))
        })
    }

    /// Changes what befalls links, for a fault whose beginning was told.
    pub(crate) fn set_links(&self, rules: BTreeMap<Link, Rule>) {
        self.shared.site.links().set(self.id, rules);
    }

    /// Waits; false when everything is to be healed.
    pub(crate) fn rest(&self, time: Duration) -> bool {
        let mut healing = self.shared.healing.lock();
        let end = Instant::now() + time;
        while !*healing {
            if self.shared.healed.wait_until(&mut healing, end).timed_out() {
                return !*healing;
            }
        }
        false
    }

    /// Waits for as long as the step lasts.
    pub(crate) fn last(&self) {
        self.rest(self.step.lasts);
    }

    /// Whether everything is to be healed.
    pub(crate) fn is_healing(&self) -> bool {
        self.shared.is_healing()
    }

    /// Starts the nodes and waits until they answer, as long as nothing else keeps them from it.
    pub(crate) fn start_nodes(&self) -> Result<()> {
        self.each(|node| {
            node.start()?;
            // Another fault may slow it down, cut it off or end it; what lasts beyond the heal is told then.
            let _ = node.alive(ALIVE, &|| self.is_healing());
            Ok(())
        })
    }

    /// The nodes must not end by themselves any more; those that did are started.
    pub(crate) fn revive_nodes(&self) -> Result<()> {
        let fallen = self.nodes().into_iter().filter(|node| !node.must_live());
        let fallen: Vec<&Node> = fallen.collect();
        fallen.iter().try_for_each(|node| node.start())?;
        for node in fallen {
            let _ = node.alive(ALIVE, &|| self.is_healing());
        }
        Ok(())
    }

    /// The fault is over.
    pub(crate) fn end(&mut self, detail: impl Into<String>) {
        self.shared.site.links().clear(self.id);
        self.shared.sick.remove(self.id);
        self.write(FaultPhase::End, Vec::new(), detail.into(), None);
    }

    fn write(&self, phase: FaultPhase, links: Vec<Link>, detail: String, failed: Option<String>) {
        let nodes = self.shared.site.nodes();
        let name = |place: usize| nodes.get(place).map_or("clients", Node::name).to_owned();
        let fault = Fault {
            kind: self.step.kind.to_string(),
            id: self.id,
            phase,
            nodes: self.nodes.clone(),
            links: links.into_iter().map(|(from, to)| (name(from), name(to))).collect(),
            led: self.leaders.led_by(&self.nodes),
            followed: self.leaders.followed_by(&self.nodes),
            majority: health::has_majority(
                &self.shared.site,
                &self.shared.sick,
                &self.shared.damaged.lock(),
                &self.leaders,
            ),
            detail,
        };
        (self.shared.journal)(fault, failed);
    }
}
