//! Where a test's nodes live, and its turn on the machine.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

/// One cluster at a time in a process: on a small machine two would measure each other.
static TURN: Semaphore = Semaphore::const_new(1);

/// A folder for the nodes of one test. It is removed at the end; after a failure the logs and configurations stay.
pub struct Site {
    folder: Option<TempDir>,
    _turn: SemaphorePermit<'static>,
}

impl Site {
    /// Waits for the turn.
    ///
    /// # Panics
    /// When no folder can be made.
    pub async fn take() -> Self {
        let turn = TURN.acquire().await.expect("the semaphore is never closed");
        let folder = tempfile::Builder::new().prefix("weir-test-").tempdir().expect("a temporary folder");
        Self { folder: Some(folder), _turn: turn }
    }

    /// The folder.
    ///
    /// # Panics
    /// Never: the folder is there until the site is dropped.
    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("only drop takes it").path()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        if std::thread::panicking() {
            let path = folder.keep();
            for data in data_folders(&path) {
                let _ = fs::remove_dir_all(data);
            }
            eprintln!("logs and configurations are kept in {}", path.display());
        }
    }
}

fn data_folders(site: &Path) -> Vec<PathBuf> {
    let homes = fs::read_dir(site).into_iter().flatten().flatten();
    homes.map(|home| home.path().join("data")).filter(|data| data.is_dir()).collect()
}
