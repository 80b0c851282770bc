//! A new owner takes over.

use weir_types::Output;
use weir_types::limits::NAME_BYTES_MAX;

use crate::groups::Groups;
use crate::{Effect, GroupEpoch, Rejection, Reply};

/// Raises the group's epoch, so that owners before it can no longer commit, and tells where the group stands: once
/// this is applied, that position can change by the new owner's commits alone (P14).
pub(crate) fn fence(
    groups: &mut Groups,
    group: String,
    epoch: GroupEpoch,
    out: &mut Output<Effect>,
) -> Result<Reply, Rejection> {
    check_name(&group)?;
    groups.judge(&group, epoch)?;
    if groups.get(&group).is_none_or(|known| known.epoch < epoch) {
        groups.set(group.clone(), epoch, None, &mut out.changes);
    }
    let committed = groups.get(&group).and_then(|known| known.committed.clone());
    out.effects.push(Effect::GroupFenced { group, epoch });
    Ok(Reply::Fenced { committed })
}

/// The door checks names in full; the machine keeps rows small.
pub(super) fn check_name(group: &str) -> Result<(), Rejection> {
    if group.is_empty() || group.len() > NAME_BYTES_MAX {
        return Err(Rejection::Invalid("a group's name has 1 to 200 bytes"));
    }
    Ok(())
}
