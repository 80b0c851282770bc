//! How far a backup or a restore is: a bar on a terminal, a line for each tenth elsewhere. All of it on standard error.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::bytes;

/// Without a terminal, one line for so many of a hundred.
const STEP: u64 = 10;

/// Of so many partitions.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    verb: &'static str,
    total: u64,
    done: u64,
    bytes: u64,
    printed: u64,
}

impl Progress {
    /// `verb` says what becomes of the partitions.
    pub(crate) fn new(verb: &'static str, partitions: usize) -> Self {
        let total = partitions as u64;
        let bar = io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{bar:40} {pos}/{len} partitions {prefix}, {msg}, {elapsed}");
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_prefix(verb)
        });
        Self { bar, verb, total, done: 0, bytes: 0, printed: 0 }
    }

    /// So many bytes more.
    pub(crate) fn copied(&mut self, more: u64) {
        self.bytes += more;
        if let Some(bar) = &self.bar {
            bar.set_message(bytes(self.bytes));
        }
    }

    /// One partition more.
    pub(crate) fn partition_done(&mut self) {
        self.done = self.total.min(self.done + 1);
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
            return;
        }
        let percent = self.done * 100 / self.total.max(1) / STEP * STEP;
        if percent > self.printed {
            self.printed = percent;
            let (done, total, verb) = (self.done, self.total, self.verb);
            eprintln!("{percent:>3} %: {done} of {total} partitions {verb}, {}", bytes(self.bytes));
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
