//! Parked messages are given up.

use crate::command::Select;
use crate::output::{Rejection, Reply};
use crate::queue::Queue;

impl Queue {
    pub(crate) fn discard(&mut self, select: Select, max: u32) -> Result<Reply, Rejection> {
        let selected = self.select_parked(select, max)?;
        for id in &selected {
            self.backlog.detach(*id).expect("a parked message exists");
        }
        Ok(Reply::Discarded { count: selected.len() as u32 })
    }
}
