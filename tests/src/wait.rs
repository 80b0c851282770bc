//! Waiting for what nothing tells a test about: a look, a pause, another look, up to a bound.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until it is so.
///
/// # Panics
/// When it is not so within `bound`: with `what`, and what the last look said.
pub async fn eventually<T, E: std::fmt::Display>(
    what: &str,
    bound: Duration,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + bound;
    let mut last = "no look came to an end".to_owned();
    while let Ok(looked) = timeout_at(deadline, look()).await {
        match looked {
            Ok(found) => return found,
            Err(not_yet) => last = not_yet.to_string(),
        }
        if timeout_at(deadline, sleep(PAUSE)).await.is_err() {
            break;
        }
    }
    panic!("not within {} s: {what}; the last look said: {last}", bound.as_secs())
}

/// Waits for one thing.
///
/// # Panics
/// When it does not come within `bound`.
pub async fn within<T>(what: &str, bound: Duration, coming: impl Future<Output = T>) -> T {
    let come = tokio::time::timeout(bound, coming).await;
    come.unwrap_or_else(|_| panic!("not within {} s: {what}", bound.as_secs()))
}
