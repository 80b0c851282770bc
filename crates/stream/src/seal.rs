//! The end of a stream whose partition was split or merged.

use serde::{Deserialize, Serialize};
use weir_types::{Corrupt, Offset, WallClock};

use crate::Rejection;
use crate::producers::Verdict;

/// Since when a stream takes in nothing, and where it ends. It is read, trimmed and compacted as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) at: WallClock,
    pub(crate) end: Offset,
}

impl Seal {
    /// What becomes of a batch that was judged as in a stream that is not sealed. What was taken in before keeps its answer,
    /// and so does a producer that is shut out. All else is not in it: a batch out of sequence may follow one that was
    /// refused for the same reason.
    pub(crate) fn judge(self, verdict: Result<Verdict, Rejection>) -> Result<Verdict, Rejection> {
        match verdict {
            Ok(Verdict::New) | Err(Rejection::OutOfSequence { .. }) => {
                Err(Rejection::Sealed { end: self.end })
            }
            other => other,
        }
    }

    /// Nothing was appended behind the seal.
    pub(crate) fn check(self, end: Offset) -> Result<(), Corrupt> {
        let sealed = self.end;
        if sealed == end {
            return Ok(());
        }
        Err(Corrupt(format!("the stream was sealed at offset {sealed}, and ends at {end}")))
    }
}
