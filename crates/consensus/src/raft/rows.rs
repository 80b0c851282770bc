//! Consensus's own rows, which lie among a machine's rows so that one batch writes both.
//!
//! | key | value |
//! |---|---|
//! | `00 01` | applied position: version `u8` = 1 ‖ term `u64` BE ‖ index `u64` BE |
//! | `00 02` | membership as of the applied position: version `u8` = 1 ‖ postcard of (log id, membership) |
//! | `00 03` | snapshot position: version `u8` = 1 ‖ postcard of (log id, (log id, membership)) |
//!
//! Vote, committed pointer and purged pointer are kept by the store's own rows, encoded with [`encode`].

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_types::{LogIndex, Row, RowChange, Term};

use super::{LogId, SnapshotMeta, StoredMembership};
use crate::RESERVED_PREFIX;

const VERSION: u8 = 1;
const APPLIED: [u8; 2] = [RESERVED_PREFIX, 1];
const MEMBERSHIP: [u8; 2] = [RESERVED_PREFIX, 2];
const SNAPSHOT: [u8; 2] = [RESERVED_PREFIX, 3];

/// The last applied entry, with the membership that was in force there.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppliedPosition {
    pub(crate) last: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

/// What consensus stored among a group's rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConsensusRows {
    pub(crate) applied: AppliedPosition,
    pub(crate) snapshot: Option<SnapshotMeta>,
}

impl ConsensusRows {
    /// Splits a group's rows into consensus's and the machine's.
    pub(crate) fn split(rows: Vec<Row>) -> io::Result<(Self, Vec<Row>)> {
        let mut ours = Self::default();
        let mut machine = Vec::with_capacity(rows.len());
        for row in rows {
            match row.key.as_slice() {
                key if key == APPLIED => ours.applied.last = Some(decode_applied(&row.value)?),
                key if key == MEMBERSHIP => ours.applied.membership = decode(&row.value)?,
                key if key == SNAPSHOT => ours.snapshot = Some(decode(&row.value)?),
                [RESERVED_PREFIX, ..] => return Err(corrupt("unknown reserved row")),
                _ => machine.push(row),
            }
        }
        Ok((ours, machine))
    }

    /// The rows that a group gets with an installed snapshot.
    pub(crate) fn of_snapshot(meta: &SnapshotMeta) -> Vec<RowChange> {
        let mut changes = vec![snapshot_row(meta), membership_row(&meta.last_membership)];
        changes.extend(meta.last_log_id.as_ref().map(applied_row));
        changes
    }
}

/// The change that moves the applied position.
pub(crate) fn applied_row(last: &LogId) -> RowChange {
    let mut value = Vec::with_capacity(17);
    value.push(VERSION);
    value.extend_from_slice(&(**last.committed_leader_id()).to_be_bytes());
    value.extend_from_slice(&last.index().to_be_bytes());
    RowChange::put(APPLIED.to_vec(), value)
}

/// The change that records a membership.
pub(crate) fn membership_row(membership: &StoredMembership) -> RowChange {
    RowChange::put(MEMBERSHIP.to_vec(), encode(membership))
}

/// The change that moves the snapshot position.
pub(crate) fn snapshot_row(meta: &SnapshotMeta) -> RowChange {
    RowChange::put(SNAPSHOT.to_vec(), encode(meta))
}

/// Version byte and postcard.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("our rows always encode")
}

/// The inverse of [`encode`].
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    match bytes {
        [VERSION, rest @ ..] => postcard::from_bytes(rest).map_err(|error| corrupt(&error.to_string())),
        _ => Err(corrupt("unknown version of a consensus row")),
    }
}

fn decode_applied(bytes: &[u8]) -> io::Result<LogId> {
    let Ok([VERSION, rest @ ..]) = <&[u8; 17]>::try_from(bytes) else {
        return Err(corrupt("applied position of unknown version or length"));
    };
    let number =
        |at: usize| u64::from_be_bytes(rest[at..at + 8].try_into().expect("sixteen bytes hold two numbers"));
    Ok(super::entry::log_id(Term(number(0)), LogIndex(number(8))))
}

fn corrupt(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_applied_row_has_its_documented_bytes() {
        let row = applied_row(&super::super::entry::log_id(Term(3), LogIndex(258)));
        assert_eq!(row.key, [0, 1]);
        assert_eq!(
            row.value.unwrap(),
            [1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 2],
            "version, term and index"
        );
    }

    #[test]
    fn rows_split_into_ours_and_the_machines() {
        let last = super::super::entry::log_id(Term(3), LogIndex(7));
        let meta = SnapshotMeta { last_log_id: Some(last), last_membership: StoredMembership::default() };
        let mut rows: Vec<Row> = ConsensusRows::of_snapshot(&meta)
            .into_iter()
            .map(|change| Row { key: change.key, value: change.value.unwrap() })
            .collect();
        rows.push(Row { key: b"k".to_vec(), value: b"v".to_vec() });
        let (ours, machine) = ConsensusRows::split(rows).unwrap();
        assert_eq!(ours.applied.last, Some(last));
        assert_eq!(ours.snapshot, Some(meta));
        assert_eq!(machine.len(), 1);
    }
}
