//! A run's directory, as it was left behind.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_checker::{Event, Reader, Report};

use crate::run::Options;

/// The files of a run that a page is made of.
pub(super) struct Run {
    directory: PathBuf,
    /// All options, those drawn from the seed too. Null when they were not written.
    pub(super) options: Value,
    /// The faults that were planned. Null when they were not written.
    pub(super) schedule: Value,
    /// What the checks found.
    pub(super) report: Report,
}

impl Run {
    /// Opens the run in `directory`. It needs its history and its results; the rest may be missing.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            options: read_if_there(&directory.join("options.json"))?.unwrap_or(Value::Null),
            schedule: read_if_there(&directory.join("schedule.json"))?.unwrap_or(Value::Null),
            report: read(&directory.join("results.json"))?,
            directory: directory.to_owned(),
        })
    }

    /// The history, from its first line: line numbers from 0 and events.
    pub(super) fn events(&self) -> io::Result<impl Iterator<Item = io::Result<(u64, Event)>>> {
        let file = File::open(self.directory.join("history.jsonl"))?;
        let events = Reader::new(BufReader::with_capacity(1 << 20, file));
        Ok((0..).zip(events).map(|(line, event)| match event {
            Ok(event) => Ok((line, event)),
            Err(cause) => Err(io::Error::new(io::ErrorKind::InvalidData, cause)),
        }))
    }

    /// The directory's own name, which says what the run was.
    pub(super) fn name(&self) -> String {
        let whole = self.directory.canonicalize().unwrap_or_else(|_| self.directory.clone());
        whole.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Where the page goes.
    pub(super) fn page(&self) -> PathBuf {
        self.directory.join("report.html")
    }

    /// The directory as it was given: what commands on the page name.
    pub(super) fn path(&self) -> String {
        self.directory.display().to_string()
    }

    /// The command line that asks for the same run, if its options say enough.
    pub(super) fn command(&self) -> Option<String> {
        serde_json::from_value(self.options.clone()).ok().map(|options: Options| options.command())
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let file = File::open(path).map_err(|cause| named(path, &cause))?;
    serde_json::from_reader(BufReader::new(file)).map_err(|cause| named(path, &cause.into()))
}

fn read_if_there(path: &Path) -> io::Result<Option<Value>> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn named(path: &Path, cause: &io::Error) -> io::Error {
    io::Error::new(cause.kind(), format!("{}: {cause}", path.display()))
}
