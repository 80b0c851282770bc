//! Taking in a batch from another partition.

use weir_types::mutants::{self, Mutant};
use weir_types::{At, Corrupt, Output};

use super::append::append;
use crate::stream::Stream;
use crate::{Effect, Rejection, Reply, Transfer};

/// Appends the batch when it is the next of its source; otherwise only says how far that source is (P11). A sealed stream
/// takes no next one, and so has said how far the source is for good.
pub(crate) fn accept_transfer(
    stream: &mut Stream,
    at: At,
    transfer: &Transfer,
    out: &mut Output<Effect>,
) -> Result<Result<Reply, Rejection>, Corrupt> {
    let Transfer { source, after, sequence, batch } = transfer;
    if sequence <= after {
        return Ok(Err(Rejection::Invalid("a transfer comes before the one that it follows")));
    }
    let through = stream.inbox.through(*source);
    if through != *after && !mutants::on(Mutant::M32) {
        return Ok(Ok(Reply::Transferred { through }));
    }
    if let Err(rejection) = append(stream, at, batch, out)? {
        return Ok(Err(rejection));
    }
    stream.inbox.advance(*source, *sequence, &mut out.changes);
    Ok(Ok(Reply::Transferred { through: *sequence }))
}
