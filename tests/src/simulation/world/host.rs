//! One host: a tokio runtime whose clock is wound by hand.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::{Ended, time};

/// A clock that runs as it should, in millionths.
pub(super) const MILLION: u64 = 1_000_000;

type Software = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Ended> + Send>>>;

/// One host.
pub(super) struct Host {
    name: String,
    software: Option<Software>,
    up: Option<Up>,
    frozen: bool,
    /// How fast its clock runs, in millionths of what is right.
    rate_ppm: u64,
}

/// One life of a host.
struct Up {
    runtime: Runtime,
    main: JoinHandle<Ended>,
    /// What its clock showed when it started.
    began: Instant,
    /// How much time has passed on its clock since; the clock itself moves when the host is run.
    passed: Duration,
}

impl Host {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), software: None, up: None, frozen: false, rate_ppm: MILLION }
    }

    pub(super) fn install(&mut self, software: Software) {
        self.software = Some(software);
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.is_some()
    }

    pub(super) fn start(&mut self) {
        let (None, Some(software)) = (&self.up, &self.software) else { return };
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without IO takes nothing from the system");
        let began = {
            let _entered = runtime.enter();
            Instant::now()
        };
        let main = runtime.spawn(software());
        self.up = Some(Up { runtime, main, began, passed: Duration::ZERO });
    }

    /// Everything that runs on it is dropped.
    pub(super) fn stop(&mut self) {
        self.frozen = false;
        self.up = None;
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen
    }

    pub(super) fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    pub(super) fn set_clock_rate(&mut self, ahead_ppm: i64) {
        self.rate_ppm = MILLION.saturating_add_signed(ahead_ppm).max(1);
    }

    /// `tick` passes, beginning at `now`.
    pub(super) fn run(&mut self, now: Duration, tick: Duration) -> Ended {
        let Some(up) = &mut self.up else { return Ok(()) };
        up.passed += Duration::from_nanos(tick.as_nanos() as u64 * self.rate_ppm / MILLION);
        if self.frozen {
            return Ok(());
        }
        // Timers are due on whole milliseconds.
        let until = up.began + Duration::from_millis(up.passed.as_millis() as u64);
        let began = {
            let _entered = up.runtime.enter();
            Instant::now()
        };
        time::run(now, began, self.rate_ppm);
        up.runtime.block_on(async { sleep_until(until).await });
        let ended = up.main.is_finished().then(|| up.runtime.block_on(&mut up.main));
        time::set(now);
        let Some(ended) = ended else { return Ok(()) };
        // The process is over, and what it left open is closed.
        self.stop();
        match ended {
            Ok(ended) => ended,
            Err(panic) => Err(format!("{}: {panic}", self.name).into()),
        }
    }
}
