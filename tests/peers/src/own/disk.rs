//! What the disk gives one writer without any broker: appends that are synced one by one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use serde::Serialize;
use weir_bench::system::Error;

/// Bytes of a write.
const WRITE: usize = 1 << 20;
/// Bytes of a file that is written over and over; of a growing one at most.
const FILE: u64 = 512 << 20;
/// What direct writes are aligned to.
const ALIGNMENT: usize = 4_096;
/// Bytes of a probe's write, and the pause before the next one.
const PROBE: usize = 4_096;
const PROBE_PAUSE: Duration = Duration::from_millis(10);

/// Megabytes per second of one writer that syncs after each MiB.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Raw {
    /// A file that grows: each sync writes its new length, too.
    pub growing: f64,
    /// A file that was written once before.
    pub recycled: f64,
    /// The same past the page cache (O_DIRECT).
    pub direct: f64,
}

impl Raw {
    /// Measures all three below `folder`, each for so long.
    pub fn measure(folder: &Path, each: Duration) -> Result<Self, Error> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join("raw");
        let growing = rate(&File::create(&path)?, each, u64::MAX)?;
        fill(&path)?;
        let recycled = rate(&OpenOptions::new().write(true).open(&path)?, each, FILE)?;
        let direct =
            OpenOptions::new().write(true).custom_flags(OFlags::DIRECT.bits().cast_signed()).open(&path);
        let direct = rate(&direct?, each, FILE)?;
        std::fs::remove_file(&path)?;
        Ok(Self { growing, recycled, direct })
    }

    /// The best of them.
    pub fn fastest(self) -> f64 {
        self.growing.max(self.recycled).max(self.direct)
    }
}

fn fill(path: &Path) -> Result<(), Error> {
    let file = File::create(path)?;
    let zeros = vec![0; WRITE];
    for place in 0..FILE / WRITE as u64 {
        file.write_all_at(&zeros, place * WRITE as u64)?;
    }
    Ok(file.sync_all()?)
}

/// Writes for so long, from the start again after `length`.
fn rate(file: &File, each: Duration, length: u64) -> Result<f64, Error> {
    let buffer = vec![0x5a; WRITE + ALIGNMENT];
    let start = buffer.as_ptr().align_offset(ALIGNMENT);
    let bytes = &buffer[start..start + WRITE];
    let (began, mut written) = (Instant::now(), 0_u64);
    while began.elapsed() < each {
        file.write_all_at(bytes, written % length)?;
        file.sync_data()?;
        written += WRITE as u64;
    }
    Ok(written as f64 / began.elapsed().as_secs_f64() / 1e6)
}

/// Appends and syncs 4 KiB every few milliseconds, until `stop` has no sender any more; answers how long each took, in
/// milliseconds.
pub fn probe(folder: &Path, stop: &Receiver<()>) -> Result<Vec<f64>, Error> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join("probe");
    let file = File::create(&path)?;
    let bytes = vec![0x5a; PROBE];
    let (mut took, mut written) = (Vec::new(), 0);
    while stop.recv_timeout(PROBE_PAUSE) == Err(RecvTimeoutError::Timeout) {
        let began = Instant::now();
        file.write_all_at(&bytes, written)?;
        file.sync_data()?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
        written += PROBE as u64;
    }
    std::fs::remove_dir_all(folder)?;
    Ok(took)
}
