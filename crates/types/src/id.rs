//! Identifiers. Each is a newtype, so that a partition is never mistaken for a replica; none is ever reused.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $format:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

id!(
    /// A cluster, drawn at random when it forms. 0 means "not yet a member of any".
    ClusterId, u64, "{:016x}"
);
id!(
    /// A node of the cluster: 1, 2, 3 … in the order they joined. A wiped disk is a new node.
    NodeId, u64, "{}"
);
id!(
    /// One life of a data directory, drawn at random when the directory is made. It tells a wiped node that
    /// kept its address from the one the cluster knows.
    Incarnation, u64, "{:016x}"
);
id!(
    /// A Raft group. Group 0 is the metadata group; every partition is one other group.
    GroupId, u32, "{}"
);
id!(
    /// One replica of one group on one node: the id that Raft votes with. Never reused, also not when the same
    /// node is given a replica of the same group again.
    ReplicaId, u64, "{}"
);
id!(
    /// A topic, unique for the life of the cluster: a topic created again under an old name has a new id.
    TopicId, u32, "{}"
);
id!(
    /// An idempotent producer, allotted by the metadata group.
    ProducerId, u64, "{}"
);
id!(
    /// Raised when a named producer comes back; fences its older self.
    ProducerEpoch, u32, "{}"
);
id!(
    /// One grant of one message to one consumer: rises with every grant of a partition, so it is a fencing
    /// token (`semantics`: "lease id").
    LeaseId, u64, "{}"
);
id!(
    /// A message of a queue partition, in order of arrival: dense, from 0.
    MessageId, u64, "{}"
);
id!(
    /// A consumer's stream of work on a queue partition, drawn at random by the consumer.
    SessionId, u64, "{:016x}"
);
id!(
    /// Names one client request, so that a retry gets the same answer. Drawn at random by the client.
    RequestId, u64, "{:016x}"
);

impl GroupId {
    /// The metadata group.
    pub const METADATA: Self = Self(0);
}
