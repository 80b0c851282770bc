//! The end of a worker, as one session hears of it.

use tokio_util::sync::CancellationToken;

/// Whether the worker is closed, and the news of it, once.
#[derive(Debug)]
pub(crate) struct Closing {
    worker: CancellationToken,
    told: bool,
}

impl Closing {
    pub(crate) fn of(worker: CancellationToken) -> Self {
        Self { worker, told: false }
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.worker.is_cancelled()
    }

    /// Completes when the worker is closed, and never again. What counts is whether this session was told: it may look
    /// just before the worker is closed, and listen only after. Cancel safe.
    pub(crate) async fn news(&mut self) {
        if self.told {
            return std::future::pending().await;
        }
        self.worker.cancelled().await;
        self.told = true;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_worker_closed_before_its_session_listens_is_told_all_the_same_and_once() {
        let worker = CancellationToken::new();
        let mut closing = Closing::of(worker.clone());
        assert!(!closing.is_asked());
        assert_eq!(closing.news().now_or_never(), None);
        worker.cancel();
        assert!(closing.is_asked());
        assert_eq!(closing.news().now_or_never(), Some(()));
        assert_eq!(closing.news().now_or_never(), None);
    }
}
