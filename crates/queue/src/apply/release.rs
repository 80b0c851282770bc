//! A consumer hands back what it has not begun.

use weir_types::MessageId;

use super::give_back::{GivenBack, Return, give_back};
use crate::backlog::Backlog;
use crate::output::Settled;
use crate::queue::Rules;

pub(super) fn release(backlog: &mut Backlog, rules: Rules, id: MessageId) -> Settled {
    let given = give_back(backlog, rules, id, Return::Released);
    assert_eq!(given, GivenBack::Waits, "a release counts no attempt, so it cannot park message {id}");
    Settled::Done
}
