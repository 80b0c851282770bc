//! Forgetting a group.

use weir_types::Output;

use crate::groups::Groups;
use crate::{Effect, Rejection, Reply};

/// Forgets the group's position and fences its owners.
pub(crate) fn delete_group(
    groups: &mut Groups,
    group: String,
    out: &mut Output<Effect>,
) -> Result<Reply, Rejection> {
    let epoch = groups.delete(&group, &mut out.changes)?;
    out.effects.push(Effect::GroupFenced { group, epoch });
    Ok(Reply::GroupDeleted)
}
