//! A history in Jepsen's own format, for checkers of others.
//!
//! `history.edn` has one operation per line, as `jepsen.store` writes it: an `:invoke` and what became of it, in the
//! order of time. `keys.edn` says which partition of which stream each integer key of the Kafka workload stands for.
//!
//! | Weir | `:f` | `:value` |
//! |---|---|---|
//! | enqueue | `:enqueue` | `"1-17"`: producer and sequence |
//! | receive that was answered | `:drain` | every value that came; `:damaged` for what no producer made |
//! | receive that was not | `:dequeue` | `nil` |
//! | append | `:send` | `[[:send 0 "1-17"]]`, with the offset when it is known: `[[:send 0 [4 "1-17"]]]` |
//! | poll | `:poll` | `[[:poll]]`, then `[[:poll {0 [[4 "1-17"]]}]]` |
//! | a reader asks for another offset than the next | `:assign` | the keys that it goes on with as before |
//! | assign | `:subscribe` | keys |
//! | all else | its name | a map |
//!
//! `jepsen.checker/total-queue` and `jepsen.tests.kafka/checker` read it as it is. Faults are `:info` operations of
//! `:nemesis`; sightings of leaders and digests have no counterpart and stay out.

mod edn;
mod keys;
mod operation;
mod order;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::Path;

use weir_checker::{Event, Reader};

use keys::Keys;
use order::Moment;

/// Reads `history.jsonl` in the directory of a run, writes `history.edn` and `keys.edn` beside it, and gives back how
/// many lines the former has. The whole history is held in memory.
///
/// # Errors
/// When the directory cannot be read or written, or a line of the history is no event.
pub fn edn(directory: &Path) -> io::Result<u64> {
    let file = File::open(directory.join("history.jsonl"))?;
    let events: Result<Vec<Event>, _> = Reader::new(BufReader::new(file)).collect();
    let events = events.map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))?;
    let keys = Keys::of(&events);
    std::fs::write(directory.join("keys.edn"), format!("{}\n", keys.names()))?;
    let mut to = BufWriter::new(File::create(directory.join("history.edn"))?);
    let mut index = 0;
    for Moment { at, event, part, .. } in order::moments(&events) {
        for line in operation::lines(&events[event], &part, &keys, at) {
            writeln!(to, "{}", line.indexed(index))?;
            index += 1;
        }
    }
    to.into_inner()?.sync_all()?;
    Ok(index)
}
