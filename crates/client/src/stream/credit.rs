//! How much a partition may send ahead of its reader.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Bytes that were fetched and are not handled yet, and those that were handled and are not granted again yet.
#[derive(Debug)]
pub(crate) struct Credit {
    bytes_max: u64,
    state: Mutex<State>,
    worth_granting: Notify,
}

#[derive(Debug, Default)]
struct State {
    unhandled: u64,
    returned: u64,
}

impl Credit {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, state: Mutex::default(), worth_granting: Notify::new() }
    }

    /// What a new connection is granted.
    pub(crate) fn for_connection(&self) -> u64 {
        let mut state = self.state.lock();
        state.returned = 0;
        self.bytes_max.saturating_sub(state.unhandled)
    }

    /// Bytes came.
    pub(crate) fn came(&self, bytes: u64) {
        self.state.lock().unhandled += bytes;
    }

    /// Bytes that came are handled. They are granted again a quarter of the whole at a time, or at once when nothing else
    /// is left, so that grants do not outnumber answers.
    pub(crate) fn handled(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.unhandled = state.unhandled.saturating_sub(bytes);
        state.returned += bytes;
        if state.unhandled == 0 || state.returned >= self.bytes_max / 4 {
            self.worth_granting.notify_one();
        }
    }

    /// Waits until there is something worth granting: how much it is. Cancel safe.
    pub(crate) async fn to_grant(&self) -> u64 {
        loop {
            self.worth_granting.notified().await;
            let returned = std::mem::take(&mut self.state.lock().returned);
            if returned > 0 {
                return returned;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn credit_is_granted_again_by_the_quarter_or_when_nothing_is_left() {
        let credit = Credit::new(100);
        assert_eq!(credit.for_connection(), 100);
        credit.came(60);
        credit.handled(10);
        assert_eq!(credit.to_grant().now_or_never(), None);
        credit.handled(15);
        assert_eq!(credit.to_grant().now_or_never(), Some(25));
        credit.came(5);
        credit.handled(40);
        assert_eq!(credit.to_grant().now_or_never(), Some(40));
    }

    #[test]
    fn a_new_connection_gets_what_is_not_taken_up_by_bytes_still_unhandled() {
        let credit = Credit::new(100);
        credit.came(70);
        credit.handled(30);
        assert_eq!(credit.for_connection(), 60);
        assert_eq!(credit.to_grant().now_or_never(), None, "granted with the connection");
    }
}
