//! What one partition can hold: very many of something at rest, or at once, with rates and the memory of the nodes.
//!
//! | scenario | what there is very much of |
//! |---|---|
//! | [`Scenario::Scheduled`] | messages that wait for their time; then some that fire at a steady rate |
//! | [`Scenario::HotKey`] | messages of one FIFO key that waits, beside other keys |
//! | [`Scenario::Leased`] | messages that consumers hold |
//! | [`Scenario::Producers`] | producers that deduplicate |
//! | [`Scenario::Groups`] | consumer groups that read one stream |
//! | [`Scenario::Members`] | members of one group, which restart one after the other |

mod groups;
mod hot_key;
mod leased;
mod members;
mod memory;
mod producers;
mod publish;
mod scheduled;

use std::sync::Arc;

use serde::Serialize;
use weir_client::{Client, ClientOptions, NewTopic, QueueSettings, Settings};

use crate::system::Error;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Messages that wait for their time.
    Scheduled,
    /// Messages of one FIFO key.
    HotKey,
    /// Leased messages.
    Leased,
    /// Producers.
    Producers,
    /// Consumer groups.
    Groups,
    /// Members of a group.
    Members,
}

/// A figure of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
}

/// Where a scenario plays.
#[derive(Clone)]
pub struct Stage {
    /// How clients reach the cluster.
    pub options: ClientOptions,
    /// A client of it.
    pub client: Client,
    /// A topic of its own.
    pub topic: String,
    /// Hears what is being done.
    pub told: Arc<dyn Fn(String) + Send + Sync>,
}

impl Scenario {
    /// How many there are unless it is said otherwise.
    pub fn usual(self) -> u64 {
        match self {
            Self::Scheduled => 10_000_000,
            Self::HotKey | Self::Leased => 1_000_000,
            Self::Producers => 100_000,
            Self::Groups => 1_000,
            Self::Members => 100,
        }
    }

    /// The topic that it needs: one partition, but for members, who have one each.
    pub fn topic(self, name: &str, count: u64) -> NewTopic {
        match self {
            Self::Scheduled | Self::Leased | Self::Producers => NewTopic::queue(name),
            Self::HotKey => {
                let settings = QueueSettings { fifo: Some(true), ..QueueSettings::default() };
                NewTopic::queue(name).settings(Settings::Queue(settings))
            }
            Self::Groups => NewTopic::stream(name),
            Self::Members => NewTopic::stream(name).partitions(u32::try_from(count).unwrap_or(u32::MAX)),
        }
    }

    /// Plays it with so many.
    ///
    /// # Errors
    /// Whatever the cluster refuses; an answer that contradicts what was sent.
    pub async fn play(self, stage: &Stage, count: u64) -> Result<Vec<Figure>, Error> {
        match self {
            Self::Scheduled => scheduled::play(stage, count).await,
            Self::HotKey => hot_key::play(stage, count).await,
            Self::Leased => leased::play(stage, count).await,
            Self::Producers => producers::play(stage, count).await,
            Self::Groups => groups::play(stage, count).await,
            Self::Members => members::play(stage, count).await,
        }
    }
}

impl Stage {
    fn tell(&self, what: impl Into<String>) {
        (self.told)(what.into());
    }
}

fn figure(name: impl Into<String>, value: f64, unit: &'static str) -> Figure {
    Figure { name: name.into(), value, unit }
}

/// A figure for what many took together.
fn rate(name: &str, count: u64, took: std::time::Duration) -> Figure {
    figure(name, count as f64 / took.as_secs_f64(), "per second")
}
