//! Notices when the harness itself did not run: what it measured then says nothing about the cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use weir_checker::Lost;

use crate::history::History;

/// How long the watcher sleeps.
const NAP: Duration = Duration::from_millis(20);
/// A sleep that takes so much longer is a stall.
const STALL: Duration = Duration::from_millis(200);

/// Watches until it is dropped.
pub(super) struct StallWatch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StallWatch {
    /// Starts to watch; stalls go into the history.
    pub(super) fn start(history: History) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("stalls".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                std::thread::park_timeout(NAP);
                let over = began.elapsed().saturating_sub(NAP);
                if over >= STALL {
                    history.lost(Lost::Stall(over.as_micros() as u64));
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A watcher that panicked watches no more; nothing else depends on it.
            let _ = thread.join();
        }
    }
}
