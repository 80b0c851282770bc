//! Whose a message is, in a queue that tenants share.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// The hash of a tenant's name, which a header of its messages holds: two names never meet in practice. It is never 0, so
/// that a message without a tenant costs no byte more. The value is replicated and stored; a test pins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TenantHash(pub NonZeroU64);

impl TenantHash {
    /// Hashes a name: FNV-1a (Fowler, Noll, Vo), finished like `MurmurHash3` so that similar names spread.
    pub fn of(name: &[u8]) -> Self {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in name {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 33;
        Self(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN))
    }
}

impl fmt::Display for TenantHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_hashes_are_part_of_what_is_stored() {
        let shown = ["", "acme", "acme2"].map(|name| TenantHash::of(name.as_bytes()).to_string());
        assert_eq!(shown, ["ecba3df2c3383c52", "3c6d1e94f3a758bc", "5cadb4f3778ef9c6"]);
    }

    #[test]
    fn a_message_without_a_tenant_costs_no_byte_more() {
        assert_eq!(size_of::<Option<TenantHash>>(), size_of::<u64>());
    }
}
