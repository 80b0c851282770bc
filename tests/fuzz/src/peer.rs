//! What a node's broker is asked by strangers on the client port, and what it keeps of its place.

use weir_broker::fuzzing;

/// What decodes is encoded to the same question, answer or place again.
pub fn law(data: &[u8]) {
    fuzzing::node_message(data);
}

pub fn seeds() -> Vec<Vec<u8>> {
    fuzzing::node_message_seeds()
}
