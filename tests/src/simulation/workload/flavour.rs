//! What the messages of the queue carry beside their bodies: a run has one flavour.

use std::time::Duration;

use weir_checker::{Micros, Terms};
use weir_runtime::Clock as _;
use weir_types::batch::reserved_headers::{DELIVER_AT, PRIORITY, TTL};

use super::super::client::Client;
use super::super::clock::SimulatedClock;

/// Of a hundred messages so many have a delay, where some have.
const DELAYED_PERCENT: u64 = 60;
/// Longest delay.
const DELAY_MS_MAX: u64 = 4_000;
/// Priorities are 0 to 9.
const PRIORITIES: u64 = 10;
/// The times to live, in milliseconds: some messages are taken in time, some are not, and some always are.
const LIFETIMES_MS: [Option<u64>; 4] = [None, Some(500), Some(2_000), Some(3_600_000)];

/// What messages carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Nothing.
    Plain,
    /// A key, of a FIFO queue.
    Keys,
    /// A delivery time.
    Delays,
    /// A priority.
    Priorities,
    /// A time to live.
    Lifetimes,
}

/// A reserved header of a record.
pub(super) type Header = (&'static str, String);

/// What one message carries: as the history has it, and as the record does.
#[derive(Clone, Debug, Default)]
pub(super) struct Drawn {
    terms: Terms,
    lifetime_ms: Option<u64>,
    pub(super) header: Option<Header>,
}

impl Flavour {
    /// Draws for one message with this key, at this moment of the history.
    pub(super) fn draw(self, client: &Client, key: u8, now: Micros) -> Drawn {
        match self {
            Self::Keys => {
                let terms = Terms { key: Some(key.to_string()), ..Terms::default() };
                Drawn { terms, ..Drawn::default() }
            }
            Self::Delays if client.below(100) < DELAYED_PERCENT => {
                let delay_ms = 1 + client.below(DELAY_MS_MAX);
                let due = SimulatedClock::ahead(Duration::ZERO).wall() + delay_ms;
                let terms = Terms { not_before: Some(now + delay_ms * 1_000), ..Terms::default() };
                Drawn { terms, header: Some((DELIVER_AT, due.0.to_string())), ..Drawn::default() }
            }
            Self::Priorities => {
                let priority = client.below(PRIORITIES) as u8;
                let terms = Terms { priority: Some(priority), ..Terms::default() };
                Drawn { terms, header: Some((PRIORITY, priority.to_string())), ..Drawn::default() }
            }
            Self::Lifetimes => {
                let lifetime_ms = LIFETIMES_MS[client.below(LIFETIMES_MS.len() as u64) as usize];
                let header = lifetime_ms.map(|ms| (TTL, ms.to_string()));
                Drawn { lifetime_ms, header, ..Drawn::default() }
            }
            Self::Plain | Self::Delays => Drawn::default(),
        }
    }
}

impl Drawn {
    /// The terms of a message that had arrived by then: its time to live counts from its arrival.
    pub(super) fn terms(&self, arrived: Micros) -> Terms {
        let expires = self.lifetime_ms.map(|ms| arrived + ms * 1_000);
        Terms { expires, ..self.terms.clone() }
    }

    /// Whether it waits for its delivery time.
    pub(super) fn waits(&self) -> bool {
        self.terms.not_before.is_some()
    }
}
