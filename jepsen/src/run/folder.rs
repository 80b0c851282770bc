//! The folder of a run, and what lies where in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes it, with everything above it.
    pub fn create(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self(path.canonicalize()?))
    }

    /// One that is there.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(path.canonicalize()?))
    }

    /// The name of a run's folder: time, workload, seed.
    pub fn name(workload: &str, seed: u64) -> String {
        format!("{}-{workload}-{seed}", jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What the run was told.
    pub fn options(&self) -> PathBuf {
        self.0.join("options.json")
    }

    /// What was to happen when.
    pub fn schedule(&self) -> PathBuf {
        self.0.join("schedule.json")
    }

    /// What happened.
    pub fn history(&self) -> PathBuf {
        self.0.join("history.jsonl")
    }

    /// What the checks found.
    pub fn results(&self) -> PathBuf {
        self.0.join("results.json")
    }

    /// The nodes' homes.
    pub fn site(&self) -> PathBuf {
        self.0.join("nodes")
    }

    /// Lets `latest` beside the folder point to it.
    pub fn link_latest(&self) -> io::Result<()> {
        let (Some(parent), Some(name)) = (self.0.parent(), self.0.file_name()) else { return Ok(()) };
        let link = parent.join("latest");
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match std::os::unix::fs::symlink(name, link) {
            // Another run begins beside this one: either is the latest.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    }
}

/// Writes a document.
pub fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    fs::write(path, text)
}

/// Reads a document.
pub fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    serde_json::from_slice(&fs::read(path)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display())))
}
