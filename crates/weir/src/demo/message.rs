//! What goes through the queue and the stream: JSON, so that `weir queue peek` and `weir stream read` show it.

use std::path::PathBuf;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::wc::Counts;

/// A message of the queue `files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Task {
    /// Count this file.
    Count {
        /// Unique in a run, dense from 0.
        task: u64,
        /// What to count.
        path: PathBuf,
    },
    /// Nothing to do: it shows that a partition takes writes again.
    Probe,
}

/// A record of the stream `counts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// A file was counted.
    Counted {
        /// Of this task: a repeated event is told by it from a new one.
        task: u64,
        /// What was found.
        #[serde(flatten)]
        counts: Counts,
    },
    /// As in [`Task::Probe`].
    Probe,
}

/// The bytes of a message.
pub(super) fn encode(message: &impl Serialize) -> Bytes {
    serde_json::to_vec(message).expect("tasks and events have string keys and valid paths").into()
}

/// The message in these bytes.
pub(super) fn decode<T: DeserializeOwned>(bytes: Option<&Bytes>) -> Result<T, String> {
    let bytes = bytes.map_or(&[][..], |bytes| bytes);
    serde_json::from_slice(bytes).map_err(|error| format!("a message of {} bytes: {error}", bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_went() {
        let task = Task::Count { task: 7, path: "/a/b c.rs".into() };
        assert_eq!(decode(Some(&encode(&task))), Ok(task));
        let event = Event::Counted { task: 7, counts: Counts { lines: 1, words: 2 } };
        assert_eq!(encode(&event), r#"{"counted":{"task":7,"lines":1,"words":2}}"#);
        assert_eq!(decode(Some(&encode(&event))), Ok(event));
        assert_eq!(decode(Some(&encode(&Task::Probe))), Ok(Task::Probe));
        assert!(decode::<Task>(None).is_err());
    }
}
