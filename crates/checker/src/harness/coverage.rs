//! C1. The nemesis did what was asked, to leaders and to followers, and clients went on meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::CoverageOptions;
use crate::{Check, Event, Fault, FaultPhase, Findings, Op, Outcome, Phase};

/// How often one kind of fault was installed.
#[derive(Clone, Copy, Debug, Default)]
struct Installed {
    times: u32,
    /// Of these, on nodes that led something.
    on_leaders: u32,
    /// Of these, on nodes that followed something.
    on_followers: u32,
    /// Of these, with nodes that suffer at all.
    on_nodes: u32,
}

/// Counts.
pub(super) struct Coverage {
    options: CoverageOptions,
    installed: BTreeMap<String, Installed>,
    active: BTreeSet<u64>,
    operations: u64,
    ok: u64,
    ok_in_faults: u64,
    /// Whether some fault left a majority at work.
    bearable: bool,
    /// Between the first fault and the heal.
    broken: bool,
    ok_while_broken: u64,
}

impl Coverage {
    pub(super) fn new(options: &CoverageOptions) -> Self {
        Self {
            options: options.clone(),
            installed: BTreeMap::new(),
            active: BTreeSet::new(),
            operations: 0,
            ok: 0,
            ok_in_faults: 0,
            bearable: false,
            broken: false,
            ok_while_broken: 0,
        }
    }

    fn fault(&mut self, fault: &Fault) {
        match fault.phase {
            FaultPhase::End => {
                self.active.remove(&fault.id);
                return;
            }
            FaultPhase::Begin => {
                self.active.insert(fault.id);
            }
            FaultPhase::Once => {}
        }
        self.bearable |= fault.majority;
        self.broken = true;
        let kind = self.installed.entry(fault.kind.clone()).or_default();
        kind.times += 1;
        kind.on_leaders += u32::from(fault.led > 0);
        kind.on_followers += u32::from(fault.followed > 0);
        kind.on_nodes += u32::from(!fault.nodes.is_empty());
    }

    fn kinds(&self, found: &mut Findings) {
        for kind in &self.options.faults {
            let Installed { times, on_leaders, on_followers, on_nodes } =
                self.installed.get(kind).copied().unwrap_or_default();
            let least = self.options.times_min;
            if times < least {
                found.unknown.push(format!("too-few-faults: {kind} was installed {times} times of {least}"));
            }
            // A fault of no node, such as of clients only, meets neither.
            let meets = on_nodes > 0 && !self.options.on_blank_nodes.contains(kind);
            if meets && on_leaders == 0 {
                found.unknown.push(format!("no-leader-hit: {kind} never met a leader"));
            }
            if meets && on_followers == 0 {
                found.unknown.push(format!("no-follower-hit: {kind} never met a follower"));
            }
            found
                .notes
                .push(format!("{kind}: {times} times, {on_leaders} on leaders, {on_followers} on followers"));
        }
    }
}

impl Check for Coverage {
    fn name(&self) -> &'static str {
        "C1 coverage"
    }

    fn observe(&mut self, _: u64, event: &Event) {
        match &event.op {
            Op::Fault(fault) => self.fault(fault),
            Op::Phase(Phase::Healed) => self.broken = false,
            op if op.is_of_the_harness() => {}
            _ => {
                self.operations += 1;
                if event.outcome == Outcome::Ok {
                    self.ok += 1;
                    self.ok_in_faults += u64::from(!self.active.is_empty());
                    self.ok_while_broken += u64::from(self.broken);
                }
            }
        }
    }

    fn finish(self: Box<Self>) -> Findings {
        let mut found = Findings::default();
        self.kinds(&mut found);
        let Self { options, operations, ok, ok_in_faults, bearable, ok_while_broken, .. } = *self;
        // Where every fault takes a majority away, nothing can succeed during one: what counts is what does between them.
        let (enough, when) = if bearable {
            (ok_in_faults, "while faults were at work")
        } else {
            (ok_while_broken, "between the first fault and the heal")
        };
        if operations == 0 {
            found.unknown.push("too-few-ok: no client did anything".to_owned());
        } else if ok * 100 < operations * options.ok_percent_min {
            let percent = ok * 100 / operations;
            let least = options.ok_percent_min;
            found
                .unknown
                .push(format!("too-few-ok: {percent} % of the operations succeeded, less than {least} %"));
        }
        let least = options.ok_in_faults_min;
        if !options.faults.is_empty() && enough < least {
            found.unknown.push(format!(
                "too-few-ok-in-faults: {enough} operations succeeded {when}, fewer than {least}"
            ));
        }
        found.notes.push(format!("{enough} of {ok} operations succeeded {when}"));
        found
    }
}
