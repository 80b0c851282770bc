//! A named producer.

use serde::{Deserialize, Serialize};
use weir_types::{ProducerEpoch, ProducerId, RequestId};

/// What is remembered of a named producer, so that it gets its id back and fences its older self.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedProducer {
    /// Its id, for ever.
    pub id: ProducerId,
    /// Raised each time it comes back.
    pub epoch: ProducerEpoch,
    /// The request that the epoch was given to: a retry does not raise it again.
    pub request: RequestId,
}
