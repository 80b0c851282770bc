//! The partition is split or merged.

use weir_types::{At, Output};

use crate::rows::{self, Key};
use crate::seal::Seal;
use crate::stream::Stream;
use crate::{Effect, Reply};

/// Sets the end for good (P15: whoever has read up to it has read all that its keys have here). The first seal counts.
pub(crate) fn seal(stream: &mut Stream, at: At, out: &mut Output<Effect>) -> Reply {
    let end = stream.end_offset();
    if stream.seal.is_none() {
        let seal = Seal { at: at.wall_clock, end };
        stream.seal = Some(seal);
        out.changes.push(rows::put(&Key::Seal, &seal));
        out.effects.push(Effect::Sealed { end_offset: end });
    }
    Reply::Sealed { end }
}
