//! Reading a decoder to its end, or to a limit.

use std::io::Read;

use weir_types::Codec;

use crate::Error;

/// Everything that `decoder` yields, if that is at most `limit_bytes`. One byte more is read to know, and what is
/// allocated grows with what was really decoded.
pub(crate) fn read(codec: Codec, decoder: impl Read, limit_bytes: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let read_max = (limit_bytes as u64).saturating_add(1);
    decoder.take(read_max).read_to_end(&mut out).map_err(|source| Error::malformed(codec, source))?;
    if out.len() > limit_bytes {
        return Err(Error::TooLarge { codec, limit_bytes });
    }
    Ok(out)
}
