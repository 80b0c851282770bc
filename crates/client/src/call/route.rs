//! Finding the node that serves one target, attempt by attempt.

use tokio::time::Instant;
use weir_types::{ErrorKind, GroupId};

use super::{Attempts, Core, Failure, Next};
use crate::routing::Target;
use crate::{Error, Result};

/// Whom to ask next on behalf of one operation.
#[derive(Debug)]
pub(crate) struct Route {
    target: Target,
    /// Attempts that moved on to another node.
    turn: usize,
    /// The leader that a redirect named.
    ask: Option<String>,
}

impl Route {
    pub(crate) fn new(core: &Core, target: Target) -> Self {
        let turn = match target {
            Target::Leader(_) => 0,
            Target::Any => core.router.next_turn(),
        };
        Self { target, turn, ask: None }
    }

    pub(crate) fn leader_of(group: GroupId) -> Self {
        Self { target: Target::Leader(group), turn: 0, ask: None }
    }

    /// The node to ask now.
    pub(crate) fn address(&mut self, core: &Core) -> String {
        self.ask.take().unwrap_or_else(|| core.router.pick(self.target, self.turn))
    }

    /// An attempt succeeded: the guess was right.
    pub(crate) fn succeeded(&mut self) {
        self.turn = 0;
    }

    /// Takes in a failed attempt at `address`, and waits until it is time for the next one, or until `deadline`. The
    /// wait ends early when the routing table names another leader.
    ///
    /// # Errors
    /// The cluster's answer, when it is final.
    pub(crate) async fn recover(
        &mut self,
        core: &Core,
        attempts: &mut Attempts,
        address: &str,
        failure: Failure,
        deadline: Instant,
    ) -> Result<()> {
        if let Target::Leader(group) = self.target {
            core.router.forget_leader(group, address);
        }
        // Only these two speak for a leader that is alive and right, so that another node would not do better.
        let stay = matches!(failure.error.kind, ErrorKind::Throttled | ErrorKind::OutOfSpace);
        match attempts.failed(failure) {
            Next::Refused(error) => return Err(Error::Broker(error)),
            Next::Ask(leader) => {
                if let Target::Leader(group) = self.target {
                    core.router.learn_leader(group, leader.clone());
                }
                self.turn = 0;
                self.ask = Some(leader);
            }
            Next::AskLeader => self.turn = 0,
            Next::Pause(pause) => {
                self.turn = self.turn.wrapping_add(usize::from(!stay));
                let until = deadline.min(core.now() + core.options.runtime.jittered(pause));
                if self.wait(core, until).await {
                    self.turn = 0;
                }
            }
        }
        Ok(())
    }

    /// Waits; true when it ended early, because another leader is known.
    async fn wait(&self, core: &Core, until: Instant) -> bool {
        let Target::Leader(group) = self.target else {
            tokio::time::sleep_until(until).await;
            return false;
        };
        let mut tables = core.router.watch();
        let before = tables.borrow_and_update().leader(group).map(str::to_owned);
        let changed =
            tables.wait_for(|table| table.leader(group).is_some_and(|now| Some(now) != before.as_deref()));
        tokio::time::timeout_at(until, changed).await.is_ok()
    }
}
