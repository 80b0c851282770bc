//! A group has handled records, and what came of them goes to other partitions: in one step.

use weir_types::limits::OUTPUTS_MAX;
use weir_types::mutants::{self, Mutant};
use weir_types::{At, RowChange};

use super::commit_offset::judge;
use crate::groups::{Group, Step};
use crate::stream::Stream;
use crate::{CommitAndAppend, CommitOffset, Committed, GroupEpoch, Movement, Rejection, Reply};

/// Moves the position and puts every batch into the outbox, or does nothing (P11). The position is compared first: a step
/// begins where the group stands. One that is repeated is known by its owner, its beginning and its end, as long as
/// nothing else has moved the group: it is answered again without being taken again.
pub(crate) fn commit_and_append(
    stream: &mut Stream,
    at: At,
    step: CommitAndAppend,
    changes: &mut Vec<RowChange>,
) -> Result<Reply, Rejection> {
    let CommitAndAppend { group, epoch, from, offset, metadata, outputs } = step;
    if epoch == GroupEpoch(0) {
        return Err(Rejection::Invalid("a commit-and-append is an owner's: its epoch is at least 1"));
    }
    if from.is_some_and(|from| from >= offset) {
        return Err(Rejection::Invalid("a commit-and-append moves the position forward"));
    }
    if outputs.len() > OUTPUTS_MAX {
        return Err(Rejection::Invalid("a commit-and-append has at most 1,024 record batches"));
    }
    let commit = CommitOffset { group, epoch, offset, metadata, movement: Movement::Forward };
    let known = stream.groups.get(&commit.group);
    let position = known.and_then(Group::position);
    let anywhere = mutants::on(Mutant::M33);
    if known.is_some_and(|known| known.has_taken(epoch, from, offset)) && !anywhere {
        return Ok(Reply::Committed { offset });
    }
    judge(&stream.groups, &stream.index, &commit)?;
    if position != from && !anywhere {
        return Err(Rejection::PositionMoved { committed: position, from });
    }
    stream.outbox.check_room(&outputs)?;

    stream.outbox.put(at, &outputs);
    let CommitOffset { group, metadata, .. } = commit;
    stream.groups.step(group, epoch, (Step { from }, Committed { offset, metadata }), changes);
    Ok(Reply::Committed { offset })
}
