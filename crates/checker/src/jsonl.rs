//! A history as a file: one JSON object per line.

use std::io::{self, BufRead, Write};

use crate::Event;

/// Writes events, one line each. Buffering is the business of what it writes to.
pub struct Writer<W>(W);

impl<W: Write> Writer<W> {
    /// Writes to `to` from where it stands.
    pub fn new(to: W) -> Self {
        Self(to)
    }

    /// Writes one line.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, event)?;
        self.0.write_all(b"\n")
    }

    /// Passes on what is buffered below.
    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    /// Gives back what it wrote to.
    pub fn into_inner(self) -> W {
        self.0
    }
}

/// A history that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file.
    #[error("the history cannot be read")]
    Io(#[from] io::Error),
    /// A line.
    #[error("line {line} of the history is no event: {cause}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
}

/// Reads events one after the other.
pub struct Reader<R> {
    from: R,
    line: u64,
    text: String,
}

impl<R: BufRead> Reader<R> {
    /// Reads from where `from` stands.
    pub fn new(from: R) -> Self {
        Self { from, line: 0, text: String::new() }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.text.clear();
        match self.from.read_line(&mut self.text) {
            Ok(0) => None,
            Ok(_) => {
                self.line += 1;
                let line = self.line;
                Some(serde_json::from_str(&self.text).map_err(|cause| ReadError::Line { line, cause }))
            }
            Err(error) => Some(Err(error.into())),
        }
    }
}
