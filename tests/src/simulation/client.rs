//! A client of the simulated cluster: finds leaders, follows redirects, and asks again with the same ids until it is
//! answered.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;
use weir_types::{ErrorKind, GroupId, RequestId, WeirError};

use super::cluster::client_address;
use super::network::SimulatedNetwork;
use super::trace::Trace;
use super::wire::{self, Answer, Asked, Question};
use crate::Dice;

/// How long a call may take beyond what it waits for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest pause before the next attempt.
const PAUSE_MS_MAX: u64 = 120;
/// Redirects that are followed at once.
const REDIRECTS_MAX: u32 = 2;

/// The codes of answers that no repetition changes.
const FINAL: [&str; 3] = ["message-not-parked", "message-not-scheduled", SEALED];
/// A partition that was split or merged takes in nothing, and what was asked is not in it: another one has its keys.
pub(super) const SEALED: &str = "partition-sealed";

/// One client.
pub(super) struct Client {
    name: String,
    network: SimulatedNetwork,
    nodes: usize,
    trace: Trace,
    dice: Mutex<Dice>,
    leaders: Mutex<BTreeMap<GroupId, String>>,
}

impl Client {
    pub(super) fn new(
        name: String,
        network: SimulatedNetwork,
        nodes: usize,
        seed: u64,
        trace: Trace,
    ) -> Self {
        Self { name, network, nodes, trace, dice: Mutex::new(Dice::new(seed)), leaders: Mutex::default() }
    }

    /// A number below `bound`.
    pub(super) fn below(&self, bound: u64) -> u64 {
        self.dice.lock().below(bound)
    }

    /// An id for a request.
    pub(super) fn request(&self) -> RequestId {
        RequestId(self.dice.lock().roll() | 1)
    }

    /// Asks until there is an answer, or an error that no repetition can mend. The simulation ends when that takes
    /// for ever.
    pub(super) async fn ask(
        &self,
        group: Option<GroupId>,
        question: &Question,
        wait: Duration,
    ) -> Result<Answer, WeirError> {
        self.ask_and_hear(group, question, wait, &mut false).await
    }

    /// As [`ask`](Self::ask); `unheard` becomes true when what was asked may have been done by an attempt that nobody
    /// was told of.
    pub(super) async fn ask_and_hear(
        &self,
        group: Option<GroupId>,
        question: &Question,
        wait: Duration,
        unheard: &mut bool,
    ) -> Result<Answer, WeirError> {
        let asked = Asked::Client(question.clone());
        let mut redirects = 0;
        loop {
            let address = self.whom(group);
            let error = match wire::call::<Answer>(&self.network, &address, &asked, wait + PATIENCE).await {
                Ok(answer) => {
                    self.remember(group, Some(address));
                    return Ok(answer);
                }
                Err(error) => error,
            };
            self.trace.note(format_args!("{} {address} {}: {}", self.name, error.kind, error.code));
            if !mends(&error) {
                return Err(error);
            }
            *unheard |= error.kind == ErrorKind::OutcomeUnknown;
            let leader = error.leader.filter(|leader| *leader != address);
            let follow = leader.is_some() && redirects < REDIRECTS_MAX;
            self.remember(group, leader);
            redirects = if follow { redirects + 1 } else { 0 };
            if !follow {
                sleep(Duration::from_millis(1 + self.below(PAUSE_MS_MAX))).await;
            }
        }
    }

    /// The group's leader, or whoever comes up.
    fn whom(&self, group: Option<GroupId>) -> String {
        let known = group.and_then(|group| self.leaders.lock().get(&group).cloned());
        known.unwrap_or_else(|| client_address(self.below(self.nodes as u64) as usize))
    }

    fn remember(&self, group: Option<GroupId>, leader: Option<String>) {
        let Some(group) = group else { return };
        let mut leaders = self.leaders.lock();
        match leader {
            Some(leader) => leaders.insert(group, leader),
            None => leaders.remove(&group),
        };
    }
}

/// Whether asking again may help: what exists may still be unknown to the node that was asked.
fn mends(error: &WeirError) -> bool {
    matches!(
        error.kind,
        ErrorKind::Retry
            | ErrorKind::Redirect
            | ErrorKind::Throttled
            | ErrorKind::OutcomeUnknown
            | ErrorKind::NotFound
    ) && !FINAL.contains(&error.code.as_str())
}
