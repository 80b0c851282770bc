//! What happens when time has passed.

use weir_types::At;
use weir_types::limits::TIMERS_PER_ENTRY_MAX;
use weir_types::mutants::{self, Mutant};

use super::give_back::{Return, give_back};
use crate::command::SessionEnding;
use crate::queue::{Queue, Rules};

impl Queue {
    /// Fires what is due, at most `TIMERS_PER_ENTRY_MAX` in all. Answers whether more can be leased than before
    /// one of the steps.
    pub(crate) fn fire_due(&mut self, at: At) -> bool {
        let mut budget = TIMERS_PER_ENTRY_MAX;
        let steps = [
            Self::expire_leases,
            Self::end_sessions,
            Self::end_delays,
            Self::expire_messages,
            Self::release_kept,
        ];
        let mut grown = false;
        for step in steps {
            let before = self.leasable();
            step(self, at, &mut budget);
            grown |= before < self.leasable();
        }
        self.dedup.forget_old(at.lease_clock, budget);
        self.requests.forget_old(at.lease_clock, budget);
        grown
    }

    pub(crate) fn expire_leases(&mut self, at: At, budget: &mut usize) {
        let rules = Rules { at, policy: self.policy.get() };
        let early_ms = if mutants::on(Mutant::M22) { 500 } else { 0 };
        while *budget > 0
            && let Some((deadline, id)) = self.backlog.index.leases.first_deadline()
            && deadline <= at.lease_clock + early_ms
        {
            give_back(&mut self.backlog, rules, id, Return::Expired);
            *budget -= 1;
        }
    }

    fn end_sessions(&mut self, at: At, budget: &mut usize) {
        let rules = Rules { at, policy: self.policy.get() };
        while *budget > 0
            && let Some((session, ending)) = self.sessions.next_ending(at.lease_clock)
        {
            *budget -= 1;
            match (self.backlog.index.leases.first_of_session(session), ending) {
                (Some(id), SessionEnding::Clean) => {
                    give_back(&mut self.backlog, rules, id, Return::SessionClosed);
                }
                (Some(id), SessionEnding::Lost) => {
                    give_back(&mut self.backlog, rules, id, Return::SessionLost);
                }
                (None, _) => self.sessions.remove(session),
            }
        }
    }

    fn end_delays(&mut self, at: At, budget: &mut usize) {
        while *budget > 0
            && let Some((until, name)) = self.backlog.index.delays.first()
            && until <= at.wall_clock
        {
            self.backlog.make_ready(name);
            *budget -= 1;
        }
    }

    fn expire_messages(&mut self, at: At, budget: &mut usize) {
        while *budget > 0
            && let Some((time, name)) = self.backlog.index.expiries.first()
            && time <= at.wall_clock
        {
            self.backlog.remove_item(name);
            *budget -= 1;
        }
    }

    /// The oldest go first when there are too many.
    fn release_kept(&mut self, at: At, budget: &mut usize) {
        while *budget > 0
            && let Some(name) = self.backlog.kept.due(at.wall_clock, self.policy.get())
        {
            self.backlog.release_kept(name);
            *budget -= 1;
        }
    }
}
