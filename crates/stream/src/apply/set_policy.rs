//! New settings.

use weir_types::{RowChange, StreamPolicy};

use crate::{Reply, Stream};

/// Stores the settings. A shorter retention acts in the same step, as far as its bound per command allows.
pub(crate) fn set_policy(stream: &mut Stream, policy: StreamPolicy, changes: &mut Vec<RowChange>) -> Reply {
    stream.store_policy(policy, changes);
    Reply::Done
}
