//! The folder of a backup.

use std::collections::BTreeSet;
use std::fs::{self, File as Handle, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use twox_hash::xxhash3_128::Hasher;
use weir_types::{ErrorKind, WeirError};

use super::manifest::hex;
use super::{File, Manifest};
use crate::failure::Failure;
use crate::output::bytes;

const MANIFEST: &str = "manifest.json";
const PREFIX: &str = "weir-";
const WHOLE: &str = ".image";
const UNFINISHED: &str = ".image.part";
/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;

/// Where a backup lies. Files are read and written in place: a command has nothing else to do meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Held while a backup is made: two at once would clear each other's files away.
    _lock: Option<Arc<Handle>>,
}

/// A file that is being written.
pub(crate) struct Part {
    directory: Directory,
    name: String,
    handle: Handle,
    hasher: Hasher,
    length: u64,
}

impl Directory {
    /// One that is to be written to, by nobody else meanwhile; made if it is not there.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let directory = Self { path: path.to_owned(), _lock: None };
        let opened = fs::create_dir_all(path).and_then(|()| Handle::open(path));
        let handle = opened.map_err(|error| directory.refused(&error, 0))?;
        match handle.try_lock() {
            Ok(()) => Ok(Self { _lock: Some(Arc::new(handle)), ..directory }),
            Err(TryLockError::WouldBlock) => {
                let message = format!("another backup is being made into {}", path.display());
                Err(WeirError::new(ErrorKind::Retry, "backup-in-progress", message).into())
            }
            Err(TryLockError::Error(error)) => Err(directory.refused(&error, 0)),
        }
    }

    /// One that has a backup in it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Manifest), Failure> {
        let directory = Self { path: path.to_owned(), _lock: None };
        let Some(manifest) = directory.manifest()? else {
            let message = format!("{} holds no backup: it has no {MANIFEST}", path.display());
            return Err(WeirError::new(ErrorKind::NotFound, "backup-not-found", message).into());
        };
        Ok((directory, manifest))
    }

    /// What it holds; none when it has no whole backup.
    pub(crate) fn manifest(&self) -> Result<Option<Manifest>, Failure> {
        let path = self.path.join(MANIFEST);
        match fs::read(&path) {
            Ok(json) => {
                let damaged = |what: String| damaged(format!("{}: {what}", path.display()));
                Manifest::from_json(&json).map(Some).map_err(damaged)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.refused(&error, 0)),
        }
    }

    /// Begins a file, under a name that says that it is not whole.
    pub(crate) fn part(&self, name: &str) -> Result<Part, Failure> {
        let name = format!("{PREFIX}{name}");
        let path = self.path.join(format!("{name}{UNFINISHED}"));
        let handle = Handle::create(path).map_err(|error| self.refused(&error, 0))?;
        Ok(Part { directory: self.clone(), name, handle, hasher: Hasher::new(), length: 0 })
    }

    /// Makes this the backup that the folder holds, and removes what is no part of it.
    pub(crate) fn seal(&self, manifest: &Manifest) -> Result<(), Failure> {
        let part = self.path.join(format!("{MANIFEST}.part"));
        let written = (|| {
            let mut handle = Handle::create(&part)?;
            handle.write_all(&manifest.to_json())?;
            handle.sync_all()?;
            fs::rename(&part, self.path.join(MANIFEST))?;
            self.sync()
        })();
        written.map_err(|error| {
            // It may be there and not have got all of its bytes.
            let _ = fs::remove_file(&part);
            self.refused(&error, 0)
        })?;
        self.keep_only(&manifest.names());
        Ok(())
    }

    /// Removes all files of backups but those: what another run left, or this one did not finish. One that cannot be
    /// removed is no harm.
    pub(crate) fn keep_only(&self, names: &BTreeSet<String>) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = name.starts_with(PREFIX) && (name.ends_with(WHOLE) || name.ends_with(UNFINISHED));
            if ours && !names.contains(&name) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Whether a file is as it was written; what is wrong otherwise.
    pub(crate) fn check(&self, file: &File) -> Result<(), String> {
        let mut handle = self.read(file).map_err(|error| format!("{}: {error}", file.name))?;
        let (mut hasher, mut length, mut buffer) = (Hasher::new(), 0, vec![0; READ_BYTES]);
        loop {
            let read = handle.read(&mut buffer).map_err(|error| format!("{}: {error}", file.name))?;
            if read == 0 {
                break;
            }
            length += read as u64;
            hasher.write(&buffer[..read]);
        }
        if length != file.bytes {
            return Err(format!("{} has {length} bytes, not {}", file.name, file.bytes));
        }
        if hex(hasher.finish_128()) != file.checksum {
            return Err(format!("{}: its checksum is wrong", file.name));
        }
        Ok(())
    }

    /// Opens a file of the backup.
    pub(crate) fn read(&self, file: &File) -> io::Result<Handle> {
        Handle::open(self.path.join(&file.name))
    }

    /// Makes renamed files survive a loss of power.
    fn sync(&self) -> io::Result<()> {
        Handle::open(&self.path)?.sync_all()
    }

    /// What the target said, with how much of a file it has taken.
    fn refused(&self, error: &io::Error, length: u64) -> Failure {
        let path = self.path.display();
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        if full {
            let message = format!("{path} has no more room: {error}, after {} of this file", bytes(length));
            let failure = Failure::from(WeirError::new(ErrorKind::OutOfSpace, "backup-target-full", message));
            return failure
                .hint("nothing of this backup is left; the one before it, if there is one, is whole");
        }
        Failure::operation("io", format!("{path}: {error}"))
    }
}

impl Part {
    /// Adds bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.handle.write_all(bytes).map_err(|error| self.directory.refused(&error, self.length))?;
        self.hasher.write(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Syncs it and gives it its own name.
    pub(crate) fn finish(self) -> Result<File, Failure> {
        let Self { directory, name, handle, hasher, length } = self;
        let renamed = (|| {
            handle.sync_all()?;
            let whole = format!("{name}{WHOLE}");
            fs::rename(directory.path.join(format!("{name}{UNFINISHED}")), directory.path.join(&whole))?;
            directory.sync()?;
            Ok::<String, io::Error>(whole)
        })();
        let name = renamed.map_err(|error| directory.refused(&error, length))?;
        Ok(File { name, bytes: length, checksum: hex(hasher.finish_128()) })
    }
}

/// What is there is not what was written.
pub(crate) fn damaged(message: String) -> Failure {
    WeirError::new(ErrorKind::Corrupt, "backup-damaged", message).into()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use super::*;

    fn written(directory: &Directory, name: &str, bytes: &[u8]) -> File {
        let mut part = directory.part(name).unwrap();
        part.write(bytes).unwrap();
        part.finish().unwrap()
    }

    #[test]
    fn a_damaged_short_or_missing_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::create(folder.path()).unwrap();
        let file = written(&directory, "orders", b"some bytes");
        assert_eq!(directory.check(&file), Ok(()));
        let path = folder.path().join(&file.name);
        fs::write(&path, b"some Bytes").unwrap();
        assert!(directory.check(&file).unwrap_err().contains("checksum"));
        fs::write(&path, b"some").unwrap();
        assert!(directory.check(&file).unwrap_err().contains("has 4 bytes, not 10"));
        fs::remove_file(&path).unwrap();
        assert!(directory.check(&file).is_err());
    }

    #[test]
    fn one_backup_is_made_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Directory::create(folder.path()).unwrap();
        assert!(Directory::create(folder.path()).is_err());
        drop(first);
        assert!(Directory::create(folder.path()).is_ok());
    }

    #[test]
    fn a_backup_without_a_manifest_is_none_and_the_next_one_clears_it_away() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::create(folder.path()).unwrap();
        let first = Manifest::new("ab".to_owned(), 1, written(&directory, "registry-1", b"1"));
        assert!(Directory::open(folder.path()).is_err());
        directory.seal(&first).unwrap();
        written(&directory, "registry-2", b"2");
        let unfinished = directory.part("orders").unwrap();
        fs::write(folder.path().join("somebody-elses.image"), b"x").unwrap();
        assert_eq!(Directory::open(folder.path()).unwrap().1, first);
        drop(unfinished);
        directory.keep_only(&first.names());
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["manifest.json", "somebody-elses.image", "weir-registry-1.image"]);
    }
}
