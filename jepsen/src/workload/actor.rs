//! One client: its connections, its chance, and the process under which its operations stand in the history.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Response, Status};
use weir_checker::{Op, Process};
use weir_types::ErrorKind;

use super::stage::Stage;
use crate::dice::Dice;
use crate::history::{Begun, End};
use crate::wire::{Link, Trouble};

/// Of a hundred calls, so many go to any node instead of the one that leads.
const STRAY_PERCENT: u64 = 4;
/// Pause after a call that a node refused because another leads.
const PAUSE_REDIRECTED: Duration = Duration::from_millis(10);
/// Longest pause after a call that failed otherwise.
const PAUSE_FAILED_MAX: Duration = Duration::from_millis(300);

/// A client that asks one thing at a time.
pub(super) struct Actor {
    pub(super) stage: Stage,
    pub(super) dice: Dice,
    link: Link,
    process: Process,
    /// Where the leader of a partition is, by the word of the last node that was asked.
    hints: BTreeMap<u32, String>,
}

/// A question that was asked, with its answer; it is not in the history yet.
pub(super) struct Asked<T> {
    pub(super) answer: Result<T, Trouble>,
    begun: Begun,
    node: Option<String>,
}

impl Actor {
    pub(super) fn new(stage: Stage, number: u64) -> Self {
        let process = stage.history.process();
        let dice = Dice::new(stage.load.seed, number);
        Self { stage, dice, link: Link::default(), process, hints: BTreeMap::new() }
    }

    /// Asks the leader of a partition, or who is thought to be it. `waits` is how long the node was asked to wait.
    pub(super) async fn ask<T, F>(
        &mut self,
        group: u32,
        waits: Duration,
        ask: impl FnOnce(Channel) -> F,
    ) -> Asked<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let address = self.address(group);
        let asked = self.ask_at(address, waits, ask).await;
        if let Err(trouble) = &asked.answer {
            let hint = trouble.leader.clone().filter(|_| trouble.kind == ErrorKind::Redirect);
            match hint {
                Some(leader) => self.hints.insert(group, leader),
                None => self.hints.remove(&group),
            };
        }
        asked
    }

    /// Asks any node.
    pub(super) async fn ask_any<T, F>(&mut self, waits: Duration, ask: impl FnOnce(Channel) -> F) -> Asked<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let address = self.stray();
        self.ask_at(address, waits, ask).await
    }

    /// Asks the node at an address.
    pub(super) async fn ask_at<T, F>(
        &mut self,
        address: Option<String>,
        waits: Duration,
        ask: impl FnOnce(Channel) -> F,
    ) -> Asked<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let node = address.as_ref().and_then(|at| self.stage.routes.borrow().name(at).map(str::to_owned));
        let begun = self.stage.history.begin(self.process);
        let deadline = self.stage.load.deadline + waits;
        let answer = match &address {
            Some(address) => self.link.call(address, deadline, ask).await,
            None => Err(Trouble::nobody()),
        };
        Asked { answer, begun, node }
    }

    /// Writes a question and its answer down.
    pub(super) fn note<T>(&mut self, asked: &Asked<T>, op: Op, end: End) {
        let node = asked.node.as_deref();
        self.stage.history.end(asked.begun, &mut self.process, node, op, end);
    }

    /// Rests after a call that failed, longer when nobody could be asked.
    pub(super) async fn rest(&mut self, trouble: &Trouble) {
        let pause = if trouble.kind == ErrorKind::Redirect {
            PAUSE_REDIRECTED
        } else {
            self.dice.duration(PAUSE_REDIRECTED, PAUSE_FAILED_MAX)
        };
        self.stage.sleep(pause).await;
    }

    fn address(&mut self, group: u32) -> Option<String> {
        if self.dice.percent(STRAY_PERCENT) {
            return self.stray();
        }
        let hint = self.hints.get(&group).cloned();
        let known = || self.stage.routes.borrow().group(group).and_then(|route| route.leader.clone());
        hint.or_else(known).or_else(|| self.stray())
    }

    fn stray(&mut self) -> Option<String> {
        let addresses = self.stage.routes.borrow().addresses();
        (!addresses.is_empty()).then(|| self.dice.pick(&addresses).clone())
    }
}

impl<T> Asked<T> {
    /// How an operation ended that changes something.
    pub(super) fn end(&self) -> End {
        self.answer.as_ref().err().map_or(End::Ok, Trouble::end)
    }

    /// How an operation ended that changes nothing.
    pub(super) fn end_of_read(&self) -> End {
        self.answer.as_ref().err().map_or(End::Ok, Trouble::end_of_read)
    }
}
