//! The data directory around the database:
//!
//! | name | what |
//! |---|---|
//! | `weir.lock` | locked by the process that uses the directory |
//! | `superblock` | see `superblock` |
//! | `ballast` | room to give up, see `ballast` |
//! | `db/` | `RocksDB`'s |

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::ballast::Ballast;
use crate::rocks::database::{Database, free_bytes};
use crate::rocks::manifest;
use crate::superblock::{Device, Superblock};
use crate::{Error, RocksOptions};

/// A data directory, locked for as long as this lives or what is opened from it.
pub(crate) struct Directory {
    options: RocksOptions,
    lock: File,
}

impl Directory {
    /// Makes the directory when it is missing, and locks it.
    pub(crate) fn open(options: &RocksOptions) -> Result<Self, Error> {
        let path = &options.path;
        fs::create_dir_all(path).map_err(|source| Error::io(format!("making {}", path.display()), source))?;
        let file = path.join("weir.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&file)
            .map_err(|source| Error::io(format!("opening {}", file.display()), source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { options: options.clone(), lock }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path: path.clone() }),
            Err(TryLockError::Error(source)) => Err(Error::io(format!("locking {}", file.display()), source)),
        }
    }

    fn database_path(&self) -> PathBuf {
        self.options.path.join("db")
    }

    /// Opens the superblock. It is made before the database, so a database without one is not a young directory.
    pub(crate) fn superblock(&self) -> Result<Superblock, Error> {
        let path = self.options.path.join("superblock");
        let superblock = Superblock::open(Box::new(SuperblockFile::open(&path)?))?;
        if superblock.is_blank() {
            if self.database_path().join("CURRENT").exists() {
                return Err(Error::SuperblockMissing { path: self.options.path.clone() });
            }
            superblock.reset_watermark(0)?;
            sync_directory(&self.options.path)?;
        }
        Ok(superblock)
    }

    /// Gives the ballast up when the disk is full.
    pub(crate) fn make_room(&self, free_bytes_min: u64) -> Result<Ballast, Error> {
        let ballast = Ballast::new(self.options.path.join("ballast"), self.options.ballast_bytes);
        let free = free_bytes(&self.options.path)?;
        if free < free_bytes_min {
            let freed = ballast.give_up();
            tracing::warn!(free, freed, "the disk is full, the ballast was given up");
        }
        Ok(ballast)
    }

    pub(crate) fn database(self) -> Result<Database, Error> {
        manifest::check(&self.database_path())?;
        let direct_io = can_bypass_page_cache(&self.options.path);
        Database::open(&self.database_path(), &self.options, direct_io, self.lock)
    }
}

/// Whether files in `path` can be opened for direct IO; some file systems in memory cannot, and the database would
/// fail at its first flush.
fn can_bypass_page_cache(path: &Path) -> bool {
    let probe = path.join("direct-io-probe");
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&probe, flags, Mode::RUSR | Mode::WUSR);
    // It exists even when the flag was refused.
    fs::remove_file(&probe).ok();
    if let Err(error) = opened {
        tracing::warn!(%error, path = %path.display(), "no direct IO here: flushes go through the page cache");
        return false;
    }
    true
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| Error::io(format!("syncing {}", path.display()), source))
}

/// The superblock as a file.
struct SuperblockFile {
    file: File,
    path: PathBuf,
}

impl SuperblockFile {
    fn open(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(|source| Error::io(format!("opening {}", path.display()), source))?;
        Ok(Self { file, path: path.to_owned() })
    }
}

impl Device for SuperblockFile {
    fn read(&self) -> Result<Vec<u8>, Error> {
        fs::read(&self.path).map_err(|source| Error::io(format!("reading {}", self.path.display()), source))
    }

    fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_all_at(bytes, offset as u64)
            .map_err(|source| Error::io(format!("writing {}", self.path.display()), source))
    }

    fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|source| Error::io(format!("syncing {}", self.path.display()), source))
    }
}
