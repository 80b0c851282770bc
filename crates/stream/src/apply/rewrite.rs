//! A step of compaction.

use weir_types::limits::BATCH_BYTES_MAX;
use weir_types::{At, RowChange};

use crate::stream::Stream;
use crate::{Rejection, Reply, Rewrite};

/// Replaces batches by what is left of them, if they are still the ones that the leader has read: its step begins where the
/// pass stands, and nothing that it replaces has changed or gone meanwhile.
pub(crate) fn rewrite(
    stream: &mut Stream,
    at: At,
    step: &Rewrite,
    changes: &mut Vec<RowChange>,
) -> Result<Reply, Rejection> {
    let mut next = step.from;
    for batch in &step.batches {
        if batch.base_offset < next || batch.last_offset < batch.base_offset || batch.last_offset >= step.to {
            return Err(Rejection::Invalid("rewritten batches rise, and lie within what they replace"));
        }
        if !(1..=BATCH_BYTES_MAX).contains(&(batch.length as usize)) {
            return Err(Rejection::Invalid("a batch has at least one byte and at most 4 MiB"));
        }
        next = batch.last_offset.next();
    }
    let Stream { policy, index, compaction, .. } = stream;
    let replaced = index.to_replace(step.from, step.to);
    let fits = compaction.judge(policy.compaction, index, at, step) && !index.was_rewritten_by(at.index);
    let Some(replaced) = replaced.filter(|_| fits) else { return Err(Rejection::RewriteRaced) };
    if step.batches.len() > replaced {
        return Err(Rejection::Invalid("a rewrite has no more batches than it replaces"));
    }
    index.rewrite(at, replaced, &step.batches, changes);
    compaction.took(step, changes);
    Ok(Reply::Done)
}
