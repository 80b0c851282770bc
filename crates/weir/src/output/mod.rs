//! What commands print: tables that fit the terminal for people, one JSON document per line for programs.

mod bench;
mod digests;
mod explain;
mod features;
mod grid;
mod groups;
mod letter;
mod links;
mod messages;
mod moves;
mod queues;
mod reshaped;
mod scale;
mod status;
mod topics;
mod units;

use std::io::{self, IsTerminal as _, Write as _};

pub(crate) use bench::BenchView;
pub(crate) use digests::DigestView;
pub(crate) use explain::ExplanationView;
pub(crate) use features::FeaturesView;
pub(crate) use grid::Grid;
pub(crate) use groups::{GroupList, GroupView, PositionList};
pub(crate) use letter::LetterView;
pub(crate) use links::{LinkList, LinkView};
pub(crate) use messages::{Body, headers, preview};
pub(crate) use moves::MoveList;
pub(crate) use queues::{LeasedList, PeekedList, StatsView};
pub(crate) use reshaped::ReshapedView;
pub(crate) use scale::ScaleView;
use serde::Serialize;
pub(crate) use status::StatusView;
pub(crate) use topics::{TopicList, TopicView};
pub(crate) use units::{bytes, count, duration_ms, time_ms};

use crate::failure::Outcome;

/// Something that a command shows: JSON by its `Serialize`, text by [`View::text`].
pub(crate) trait View: Serialize {
    /// For people, without the last line's end; `page` says how wide and how colourful.
    fn text(&self, page: Page) -> String;
}

/// Where text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Standard output is a terminal whose owner wants colour.
    pub(crate) colour: bool,
    /// Columns of the terminal; none when it is not one: then nothing is wrapped.
    pub(crate) width: Option<u16>,
}

impl Page {
    /// What standard output is.
    pub(crate) fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: terminal && wanted, width: terminal.then(grid::terminal_width).flatten() }
    }
}

/// Standard output, as the user asked for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    json: bool,
    page: Page,
}

impl Screen {
    /// For people, or for programs.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, page: Page::of_stdout() }
    }

    /// Whether a program reads.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Shows a result.
    pub(crate) fn show(self, view: &impl View) -> Outcome {
        let mut text = if self.json {
            serde_json::to_string(view).expect("views have string keys and plain values")
        } else {
            view.text(self.page)
        };
        text.push('\n');
        write(text.as_bytes())
    }
}

/// Writes bytes as they are, and a line's end.
pub(crate) fn print_line(line: &[u8]) -> Outcome {
    write(&[line, b"\n"].concat())
}

fn write(bytes: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// A short answer: one line for people, an object for programs.
#[derive(Debug, Serialize)]
pub(crate) struct Done<T: Serialize> {
    #[serde(skip)]
    pub(crate) text: String,
    #[serde(flatten)]
    pub(crate) data: T,
}

impl<T: Serialize> View for Done<T> {
    fn text(&self, _: Page) -> String {
        self.text.clone()
    }
}
