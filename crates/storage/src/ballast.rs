//! A file that only takes room, given up at start when the disk is full, so that a node can recover, retire and
//! ack its way back to free space.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

const CHUNK_BYTES: u64 = 1 << 20;

pub(crate) struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    pub(crate) fn new(path: PathBuf, bytes: u64) -> Self {
        Self { path, bytes }
    }

    /// Gives its room back. Returns how many bytes that freed.
    pub(crate) fn give_up(&self) -> u64 {
        let bytes = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        match fs::remove_file(&self.path) {
            Ok(()) => bytes,
            Err(_) => 0,
        }
    }

    /// Takes its room again, if so much is free beside `free_bytes_min`; else there is no ballast until the next
    /// time.
    pub(crate) fn restore(&self, free_bytes: u64, free_bytes_min: u64) {
        if self.bytes == 0 || free_bytes < free_bytes_min.saturating_add(self.bytes) {
            return;
        }
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() == self.bytes) {
            return;
        }
        if let Err(error) = self.write() {
            tracing::warn!(%error, path = %self.path.display(), "no ballast file");
            self.give_up();
        }
    }

    /// Writes real bytes: a sparse file would free nothing.
    fn write(&self) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        let zeros = vec![0; CHUNK_BYTES as usize];
        let mut left = self.bytes;
        while left > 0 {
            let chunk = left.min(CHUNK_BYTES);
            file.write_all(&zeros[..chunk as usize])?;
            left -= chunk;
        }
        file.sync_data()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_ballast_given_up_frees_its_bytes_and_can_be_restored() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = Ballast::new(dir.path().join("ballast"), 3 << 20);
        assert_eq!(ballast.give_up(), 0);
        ballast.restore((4 << 20) - 1, 1 << 20);
        assert_eq!(ballast.give_up(), 0, "there was no room for it");
        ballast.restore(4 << 20, 1 << 20);
        assert_eq!(ballast.give_up(), 3 << 20);
        ballast.restore(u64::MAX, 0);
        assert_eq!(fs::metadata(dir.path().join("ballast")).unwrap().len(), 3 << 20);
    }
}
