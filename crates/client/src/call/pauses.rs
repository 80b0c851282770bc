//! How long to wait between attempts.

use std::time::Duration;

/// First pause; it doubles up to [`PAUSE_MAX`], and a random part is added when it is slept.
pub(crate) const PAUSE_BASE: Duration = Duration::from_millis(20);
/// Longest pause that the cluster did not ask for.
pub(crate) const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Pauses that double.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pauses(u32);

impl Pauses {
    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = PAUSE_BASE.saturating_mul(1 << self.0.min(10)).min(PAUSE_MAX);
        self.0 = self.0.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit() {
        let mut pauses = Pauses::default();
        let ms: Vec<u128> = (0..7).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(ms, [20, 40, 80, 160, 320, 500, 500]);
    }
}
