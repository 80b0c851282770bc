//! Taking in a record batch.

use weir_types::batch::{PRODUCER_EPOCH_MAX, SEQUENCE_MAX};
use weir_types::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use weir_types::mutants::{self, Mutant};
use weir_types::{At, Corrupt, Output};

use crate::producers::{Producers, Verdict};
use crate::stream::Stream;
use crate::{Append, Effect, Rejection, Reply};

/// Appends the batch, unless its producer has appended it before (P10), or it is not the producer's next, or the stream is
/// sealed.
pub(crate) fn append(
    stream: &mut Stream,
    at: At,
    append: &Append,
    out: &mut Output<Effect>,
) -> Result<Result<Reply, Rejection>, Corrupt> {
    let Stream { index, producers, seal, .. } = stream;
    let verdict = judge(producers, append);
    let verdict = match seal {
        Some(seal) if !mutants::on(Mutant::M50) => seal.judge(verdict),
        _ => verdict,
    };
    match verdict {
        Err(rejection) => return Ok(Err(rejection)),
        Ok(Verdict::Duplicate(_)) if mutants::on(Mutant::M20) => {}
        Ok(Verdict::Duplicate(base_offset)) => return Ok(Ok(Reply::Duplicate { base_offset })),
        Ok(Verdict::New) => {}
    }
    let base_offset = index.append(at, append, &mut out.changes)?;
    if let Some(stamp) = append.producer {
        producers.remember(stamp, append.count, base_offset, at.lease_clock, &mut out.changes);
    }
    out.effects.push(Effect::Appended { end_offset: index.end() });
    Ok(Ok(Reply::Appended { base_offset }))
}

fn judge(producers: &Producers, append: &Append) -> Result<Verdict, Rejection> {
    if !(1..=BATCH_RECORDS_MAX).contains(&append.count) {
        return Err(Rejection::Invalid("a batch has 1 to 65,536 records"));
    }
    if !(1..=BATCH_BYTES_MAX).contains(&(append.length as usize)) {
        return Err(Rejection::Invalid("a batch has at least one byte and at most 4 MiB"));
    }
    let Some(stamp) = append.producer else { return Ok(Verdict::New) };
    if stamp.base_sequence > SEQUENCE_MAX || stamp.epoch.0 > PRODUCER_EPOCH_MAX {
        return Err(Rejection::Invalid("a producer's epoch has 15 bits and its sequence 31"));
    }
    producers.judge(stamp, append.count)
}
