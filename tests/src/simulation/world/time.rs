//! The time of the simulated world, as hosts see it while they run.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// A host that runs: what its clock showed at the beginning of the step, and its rate in millionths.
type Running = (Instant, u64);

thread_local! {
    static NOW: Cell<(Duration, Option<Running>)> = const { Cell::new((Duration::ZERO, None)) };
}

/// How much time has passed in the world: between its steps, and within one for the host that is being run.
pub fn elapsed() -> Duration {
    let (begun, running) = NOW.get();
    running.map_or(begun, |(clock, rate)| {
        let nanos = clock.elapsed().as_nanos() as u64;
        begun
            + Duration::from_nanos(
                nanos / rate * super::host::MILLION + nanos % rate * super::host::MILLION / rate,
            )
    })
}

/// No host is run, and this is the time.
pub(super) fn set(now: Duration) {
    NOW.set((now, None));
}

/// A host is run, whose clock shows `clock`.
pub(super) fn run(now: Duration, clock: Instant, rate_ppm: u64) {
    NOW.set((now, Some((clock, rate_ppm))));
}
