//! Disk pressure: the disk counts as full while bytes are still free, so that the layers above can refuse writes
//! that add data before `RocksDB` meets the end.

use tokio::sync::watch;

use crate::Error;
use crate::engine::Engine;

/// Bytes written between two looks at the free space.
const LOOK_EVERY_BYTES: usize = 1 << 20;

/// How full the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskPressure {
    /// There is room.
    Ok,
    /// Writes that add data are to be refused until `needed_bytes` are free.
    Full {
        /// Free now.
        free_bytes: u64,
        /// Free again before data are taken: above the threshold by a quarter, so that it does not flap.
        needed_bytes: u64,
    },
}

/// Keeps the state and tells who watches it.
pub(crate) struct Pressure {
    free_bytes_min: u64,
    state: watch::Sender<DiskPressure>,
}

impl Pressure {
    pub(crate) fn new(free_bytes_min: u64) -> Self {
        Self { free_bytes_min, state: watch::Sender::new(DiskPressure::Ok) }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<DiskPressure> {
        self.state.subscribe()
    }

    pub(crate) fn is_full(&self) -> bool {
        *self.state.borrow() != DiskPressure::Ok
    }

    /// The error for a write that adds data, while the disk is full.
    pub(crate) fn refusal(&self) -> Result<(), Error> {
        match *self.state.borrow() {
            DiskPressure::Ok => Ok(()),
            DiskPressure::Full { free_bytes, needed_bytes } => {
                metrics::counter!("weir_storage_disk_pressure_rejected_total").increment(1);
                Err(Error::DiskFull { free_bytes, needed_bytes })
            }
        }
    }

    /// Looks at the free space and returns it.
    pub(crate) fn look(&self, engine: &dyn Engine) -> Option<u64> {
        match engine.free_bytes() {
            Ok(free_bytes) => {
                self.note(free_bytes);
                Some(free_bytes)
            }
            Err(error) => {
                tracing::warn!(%error, "free disk space is unknown");
                None
            }
        }
    }

    pub(crate) fn free_bytes_min(&self) -> u64 {
        self.free_bytes_min
    }

    /// Takes note of the free space.
    pub(crate) fn note(&self, free_bytes: u64) {
        let needed_bytes = self.free_bytes_min + self.free_bytes_min / 4;
        let threshold = if self.is_full() { needed_bytes } else { self.free_bytes_min };
        let now = if free_bytes < threshold {
            DiskPressure::Full { free_bytes, needed_bytes }
        } else {
            DiskPressure::Ok
        };
        self.state.send_if_modified(|state| {
            let turned = (*state == DiskPressure::Ok) != (now == DiskPressure::Ok);
            if turned {
                tracing::warn!(free_bytes, needed_bytes, pressure = ?now, "disk pressure changed");
            }
            let changed = *state != now;
            *state = now;
            changed
        });
    }
}

/// Counts what is written, so that the writer looks often enough but not at every batch.
#[derive(Default)]
pub(crate) struct Meter {
    bytes: usize,
}

impl Meter {
    pub(crate) fn wrote(&mut self, bytes: usize, pressure: &Pressure, engine: &dyn Engine) {
        self.bytes += bytes;
        if self.bytes >= LOOK_EVERY_BYTES || pressure.is_full() {
            self.bytes = 0;
            pressure.look(engine);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_needs_more_than_the_threshold_to_recover() {
        let pressure = Pressure::new(1000);
        let watch = pressure.watch();
        pressure.note(1000);
        assert_eq!(*watch.borrow(), DiskPressure::Ok);
        pressure.note(999);
        assert_eq!(*watch.borrow(), DiskPressure::Full { free_bytes: 999, needed_bytes: 1250 });
        assert!(matches!(pressure.refusal(), Err(Error::DiskFull { free_bytes: 999, needed_bytes: 1250 })));
        pressure.note(1249);
        assert!(pressure.is_full());
        pressure.note(1250);
        assert!(pressure.refusal().is_ok());
    }
}
