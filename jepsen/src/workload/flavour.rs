//! What the messages of a queue carry beside their bodies: a workload has one flavour.

use std::time::Duration;

use weir_checker::Terms;
use weir_types::batch::reserved_headers::{DELIVER_AT, PRIORITY};

use super::actor::Actor;
use super::produce::now_ms;

/// Keys of a queue in order. Few, so that messages wait for each other.
const KEYS: u32 = 24;
/// Of a hundred messages so many have a delay, where some have.
const DELAYED_PERCENT: u64 = 60;
/// Longest delay.
const DELAY_MAX: Duration = Duration::from_secs(4);
/// Priorities are 0 to 9.
const PRIORITIES: u64 = 10;

/// What messages carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// Nothing.
    Plain,
    /// A key, of a FIFO queue.
    Keys,
    /// A delivery time.
    Delays,
    /// A priority.
    Priorities,
}

/// The terms of one message: as the history has them, and as the record does.
#[derive(Clone, Debug, Default)]
pub(super) struct Drawn {
    pub(super) terms: Terms,
    pub(super) key: Option<String>,
    pub(super) header: Option<(&'static str, String)>,
}

impl Flavour {
    /// Draws the terms of one message.
    pub(super) fn draw(self, actor: &mut Actor) -> Drawn {
        match self {
            Self::Keys => {
                let key = Some(format!("k{}", actor.dice.zipf(KEYS)));
                Drawn { terms: Terms { key: key.clone(), ..Terms::default() }, key, header: None }
            }
            Self::Delays if actor.dice.percent(DELAYED_PERCENT) => {
                let delay = actor.dice.duration(Duration::from_millis(1), DELAY_MAX);
                let due = now_ms() + delay.as_millis() as i64;
                let not_before = Some(actor.stage.history.now() + delay.as_micros() as u64);
                let terms = Terms { not_before, ..Terms::default() };
                Drawn { terms, key: None, header: Some((DELIVER_AT, due.to_string())) }
            }
            Self::Plain | Self::Delays => Drawn::default(),
            Self::Priorities => {
                let priority = actor.dice.below(PRIORITIES) as u8;
                let terms = Terms { priority: Some(priority), ..Terms::default() };
                Drawn { terms, key: None, header: Some((PRIORITY, priority.to_string())) }
            }
        }
    }
}
