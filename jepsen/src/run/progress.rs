//! How far a run is: a bar on a terminal, a line per part of the run elsewhere. All of it on standard error.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::history::History;

/// Whether and how a run says how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// On standard error.
    Aloud,
    /// Not at all.
    Silent,
}

/// The progress of a run.
#[derive(Clone)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    voice: Voice,
}

impl Progress {
    /// For a run whose load takes so long.
    pub(super) fn new(voice: Voice, length: Duration) -> Self {
        let terminal = voice == Voice::Aloud && io::stderr().is_terminal();
        let bar = terminal.then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos:>4}/{len} s  {msg}");
            let target = ProgressDrawTarget::stderr();
            let bar = ProgressBar::with_draw_target(Some(length.as_secs()), target);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, voice }
    }

    /// Says what happens now.
    pub(super) fn say(&self, text: &str) {
        match (&self.bar, self.voice) {
            (Some(bar), _) => bar.suspend(|| eprintln!("{text}")),
            (None, Voice::Aloud) => eprintln!("{text}"),
            (None, Voice::Silent) => {}
        }
    }

    /// Shows how far the load is, and what came of it.
    pub(super) fn show(&self, history: &History, part: &str) {
        if let Some(bar) = &self.bar {
            let (ok, fail, info) = history.counts();
            bar.set_position(history.now() / 1_000_000);
            bar.set_message(format!("{part}: {ok} ok, {fail} failed, {info} unknown"));
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
