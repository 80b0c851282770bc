//! Moving a group's position.

use weir_types::RowChange;
use weir_types::mutants::{self, Mutant};

use super::fence::check_name;
use crate::groups::{Group, Groups};
use crate::index::Index;
use crate::limits::COMMIT_METADATA_BYTES_MAX;
use crate::{CommitOffset, Committed, Movement, Rejection, Reply};

/// Stores the position, unless a newer owner has taken over or it would move back (P14). A newer epoch than the
/// known one fences as [`fence`](super::fence) does.
pub(crate) fn commit_offset(
    groups: &mut Groups,
    index: &Index,
    commit: CommitOffset,
    changes: &mut Vec<RowChange>,
) -> Result<Reply, Rejection> {
    judge(groups, index, &commit)?;
    let CommitOffset { group, epoch, offset, metadata, movement: _ } = commit;
    groups.set(group, epoch, Some(Committed { offset, metadata }), changes);
    Ok(Reply::Committed { offset })
}

pub(super) fn judge(groups: &Groups, index: &Index, commit: &CommitOffset) -> Result<(), Rejection> {
    check_name(&commit.group)?;
    if !mutants::on(Mutant::M15) {
        groups.judge(&commit.group, commit.epoch)?;
    }
    let (bytes, limit) = (commit.metadata.len(), COMMIT_METADATA_BYTES_MAX);
    if bytes > limit {
        return Err(Rejection::MetadataTooLarge { bytes, limit });
    }
    let got = commit.offset;
    if got > index.end() {
        return Err(Rejection::OffsetOutOfRange { start: index.start(), end: index.end(), got });
    }
    let position = groups.get(&commit.group).and_then(Group::position);
    match (commit.movement, position) {
        (Movement::Forward, Some(committed)) if got < committed => {
            Err(Rejection::OffsetBehind { committed, got })
        }
        _ => Ok(()),
    }
}
