//! A node's disk: an ext4 file system in a file, whose power can be cut, or just a directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Error, Result, Tried as _};
use super::ledger::{Ledger, Made};
use super::{kernel, options, tool};

/// Size of a disk: what is not written takes no space.
const SIZE: u64 = 6 << 30;
/// What fills a full disk.
const FILLER: &str = "filler";
/// How often, and for how long, a file system that is in use is tried to be unmounted.
const BUSY_EVERY: Duration = Duration::from_millis(50);
const BUSY_TRIES: u32 = 60;

/// Where one node's data lie.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// The file that holds the file system; None is a plain directory.
    image: Option<PathBuf>,
    path: PathBuf,
}

impl Disk {
    /// Makes a blank one below a node's home, and mounts it.
    pub(crate) fn make(ledger: &Ledger, home: &Path, kind: options::Disk) -> Result<Self> {
        let path = home.join("disk");
        fs::create_dir_all(&path).at("making", &path)?;
        if kind == options::Disk::Plain {
            return Ok(Self { image: None, path });
        }
        let image = home.join("disk.img");
        ledger.add(&Made::Image(image.clone()))?;
        File::create(&image).and_then(|file| file.set_len(SIZE)).at("making", &image)?;
        // Without the lazy initialisation, no write of the kernel's own disturbs the run.
        let options = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
        tool::run("mkfs.ext4", options.iter().map(AsRef::as_ref).chain([image.as_os_str()]))?;
        ledger.add(&Made::Mount(path.clone()))?;
        let disk = Self { image: Some(image), path };
        disk.mount()?;
        Ok(disk)
    }

    /// Where the node keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    fn mount(&self) -> Result<()> {
        let Some(image) = &self.image else { return Ok(()) };
        let arguments = ["-o".as_ref(), "loop,noatime".as_ref(), image.as_os_str(), self.path.as_os_str()];
        tool::run("mount", arguments).map(drop)
    }

    /// Loses everything that was not synced. The node's process has ended before.
    pub(crate) fn cut_power(&self) -> Result<()> {
        if self.image.is_none() {
            return Err(Error::Unable("the power of a plain directory cannot be cut".to_owned()));
        }
        let inside = File::open(&self.path).at("opening", &self.path)?;
        kernel::shut_ext4_down(&inside).at("shutting down", &self.path)?;
        drop(inside);
        unmount(&self.path)?;
        self.mount()
    }

    /// Takes all space but `left` bytes.
    pub(crate) fn fill(&self, left: u64) -> Result<()> {
        if self.image.is_none() {
            return Err(Error::Unable(
                "a plain directory cannot be filled without its neighbours".to_owned(),
            ));
        }
        let found = rustix::fs::statvfs(&self.path).at("looking at", &self.path)?;
        let room = (found.f_bavail * found.f_frsize).saturating_sub(left);
        let filler = self.path.join(FILLER);
        let file = File::create(&filler).at("making", &filler)?;
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, room) {
            // The node took some of the room since we looked; what was left is taken.
            Err(rustix::io::Errno::NOSPC) => Ok(()),
            filled => filled.at("filling", &filler),
        }
    }

    /// Gives the space back that [`fill`](Self::fill) took.
    pub(crate) fn empty(&self) -> Result<()> {
        remove_if_there(&self.path.join(FILLER))
    }

    /// Loses all data. The node's process has ended before.
    pub(crate) fn wipe(&self) -> Result<()> {
        remove_all_if_there(&self.data())
    }

    /// Copies the database aside. The node's process has ended before.
    pub(crate) fn save_database(&self) -> Result<()> {
        let aside = self.aside();
        remove_all_if_there(&aside)?;
        copy(&self.database(), &aside)
    }

    /// Puts the copy in the place of the database. The node's process has ended before.
    pub(crate) fn restore_database(&self) -> Result<()> {
        let (aside, database) = (self.aside(), self.database());
        remove_all_if_there(&database)?;
        fs::rename(&aside, &database).at("restoring", &database)
    }

    /// Where the node keeps its database.
    fn database(&self) -> PathBuf {
        self.data().join("db")
    }

    fn aside(&self) -> PathBuf {
        self.path.join("aside")
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    tool::run("cp", ["-a".as_ref(), "--sparse=always".as_ref(), from.as_os_str(), to.as_os_str()]).map(drop)
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("removing", path),
        _ => Ok(()),
    }
}

fn remove_all_if_there(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("removing", path),
        _ => Ok(()),
    }
}

/// Unmounts a file system; none mounted there is well, too. One in use is waited for, then unmounted lazily.
pub(crate) fn unmount(path: &Path) -> Result<()> {
    for _ in 0..BUSY_TRIES {
        if !is_mounted(path) || tool::run("umount", [path]).is_ok() {
            return Ok(());
        }
        std::thread::sleep(BUSY_EVERY);
    }
    tool::run("umount", ["-l".as_ref(), path.as_os_str()]).map(drop)
}

fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let path = path.to_string_lossy().replace(' ', "\\040");
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(&path))
}

/// Removes the file of a disk; none there is well, too.
pub(crate) fn remove_image(path: &Path) -> Result<()> {
    remove_if_there(path)
}
