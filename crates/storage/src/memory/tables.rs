//! The contents of a memory disk at one moment.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use bytes::Bytes;

use crate::Error;
use crate::engine::{Batch, Edit, Family, View, Visit};

/// Every family's rows.
#[derive(Clone, Default)]
pub(crate) struct Tables {
    families: BTreeMap<Family, BTreeMap<Vec<u8>, Bytes>>,
    pub(super) sequence: u64,
}

impl Tables {
    pub(super) fn apply(&mut self, batch: &Batch) {
        for edit in batch.edits() {
            self.sequence += 1;
            match edit {
                Edit::Put { family, key, value } => {
                    self.family(*family).insert(key.clone(), Bytes::copy_from_slice(value));
                }
                Edit::Entry { family, key, head, payload } => {
                    let value = [head.as_slice(), payload].concat();
                    self.family(*family).insert(key.clone(), value.into());
                }
                Edit::Delete { family, key } => {
                    self.family(*family).remove(key);
                }
                Edit::DeleteRange { family, keys } => self.remove(*family, keys),
            }
        }
    }

    pub(super) fn remove(&mut self, family: Family, keys: &Range<Vec<u8>>) {
        let family = self.family(family);
        let doomed: Vec<Vec<u8>> = within(family, keys).map(|(key, _)| key.clone()).collect();
        for key in doomed {
            family.remove(&key);
        }
    }

    fn family(&mut self, family: Family) -> &mut BTreeMap<Vec<u8>, Bytes> {
        self.families.entry(family).or_default()
    }
}

/// The entries of a range; an empty range where the bounds cross, as `RocksDB` sees it.
fn within<'a>(
    table: &'a BTreeMap<Vec<u8>, Bytes>,
    keys: &Range<Vec<u8>>,
) -> impl DoubleEndedIterator<Item = (&'a Vec<u8>, &'a Bytes)> {
    let end = keys.end.clone().max(keys.start.clone());
    table.range(keys.start.clone()..end)
}

impl View for Tables {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.families.get(&family).and_then(|table| table.get(key)).cloned())
    }

    fn scan(
        &self,
        family: Family,
        keys: &Range<Vec<u8>>,
        _expected_bytes: usize,
        visit: Visit<'_>,
    ) -> Result<(), Error> {
        let Some(table) = self.families.get(&family) else { return Ok(()) };
        for (key, value) in within(table, keys) {
            if let ControlFlow::Break(()) = visit(key, value)? {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, family: Family, keys: &Range<Vec<u8>>) -> Result<Option<(Vec<u8>, Bytes)>, Error> {
        let Some(table) = self.families.get(&family) else { return Ok(None) };
        Ok(within(table, keys).next_back().map(|(key, value)| (key.clone(), value.clone())))
    }
}
