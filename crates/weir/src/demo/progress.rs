//! How far a run is: a bar on a terminal, a line now and then elsewhere. All of it on standard error.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Without a terminal, one line for so many of a hundred.
const STEP: u64 = 10;

/// The progress of one phase after the other.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    printed: u64,
}

impl Progress {
    /// A bar when standard error is a terminal.
    pub(super) fn new(total: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} tasks acked, {elapsed}  {msg}");
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, total, printed: 0 }
    }

    /// Says what happens now.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// So many tasks are acked.
    pub(super) fn acked(&mut self, acked: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(acked);
            return;
        }
        let percent = acked * 100 / self.total.max(1) / STEP * STEP;
        if percent > self.printed {
            self.printed = percent;
            eprintln!("  {percent:>3} % acked ({acked} of {})", self.total);
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
