//! Tables that know which of their rows have changed. A command changes state in memory as it likes; at the
//! end of the entry each touched row is written once, with its final value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::RangeBounds;

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_types::{Corrupt, RowChange, TenantHash};

use crate::rows::{KeyBytes, Kind, decode_row, encode_key, encode_row};

/// A kind of row: what its key is and which byte its keys start with.
pub(crate) trait Stored: Serialize + DeserializeOwned + Clone + PartialEq + Debug {
    /// What names a row of this kind.
    type Key: KeyBytes;
    /// The first byte of its keys.
    const KIND: Kind;

    /// The tenant that the row belongs to, if its kind knows tenants. It is no part of what serde sees.
    fn tenant(&self) -> Option<TenantHash> {
        None
    }

    /// The row as that tenant's; none when its kind knows no tenants.
    fn of_tenant(self, _tenant: TenantHash) -> Option<Self> {
        None
    }
}

/// All rows of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Table<V: Stored> {
    rows: BTreeMap<V::Key, V>,
    dirty: BTreeSet<V::Key>,
}

impl<V: Stored> Default for Table<V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), dirty: BTreeSet::new() }
    }
}

/// Tables are equal when their rows are; what is still to be written is no part of the state.
impl<V: Stored> PartialEq for Table<V> {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl<V: Stored> Table<V> {
    pub(crate) fn get(&self, key: V::Key) -> Option<&V> {
        self.rows.get(&key)
    }

    pub(crate) fn contains(&self, key: V::Key) -> bool {
        self.rows.contains_key(&key)
    }

    pub(crate) fn put(&mut self, key: V::Key, value: V) {
        self.rows.insert(key, value);
        self.dirty.insert(key);
    }

    pub(crate) fn remove(&mut self, key: V::Key) -> Option<V> {
        let value = self.rows.remove(&key)?;
        self.dirty.insert(key);
        Some(value)
    }

    pub(crate) fn range(
        &self,
        range: impl RangeBounds<V::Key>,
    ) -> impl DoubleEndedIterator<Item = (V::Key, &V)> {
        self.rows.range(range).map(|(key, value)| (*key, value))
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (V::Key, &V)> {
        self.rows.iter().map(|(key, value)| (*key, value))
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether every change has been written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.dirty.is_empty()
    }

    /// Writes the rows that changed since the last flush, in key order.
    pub(crate) fn flush(&mut self, changes: &mut Vec<RowChange>) {
        for key in std::mem::take(&mut self.dirty) {
            let row_key = encode_key(V::KIND, key);
            changes.push(match self.rows.get(&key) {
                Some(value) => RowChange::put(row_key, encode_row(value)),
                None => RowChange::delete(row_key),
            });
        }
    }

    /// Takes in a stored row, which is clean.
    pub(crate) fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        let name = V::Key::read(key)
            .ok_or_else(|| Corrupt(format!("{:?} row has a key of {} bytes", V::KIND, key.len())))?;
        let old = self.rows.insert(name, decode_row(value)?);
        if old.is_some() {
            return Err(Corrupt(format!("{:?} row {name:?} is stored twice", V::KIND)));
        }
        Ok(())
    }
}

/// The only row of its kind.
#[derive(Clone, Debug)]
pub(crate) struct Single<V: Stored<Key = ()>> {
    value: V,
    dirty: bool,
}

impl<V: Stored<Key = ()>> PartialEq for Single<V> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<V: Stored<Key = ()>> Single<V> {
    /// A value that was never stored.
    pub(crate) fn new(value: V) -> Self {
        Self { value, dirty: true }
    }

    /// The stored one; `Corrupt` when there is none.
    pub(crate) fn loaded(table: &Table<V>) -> Result<Self, Corrupt> {
        let value = table.get(()).cloned();
        value
            .map(|value| Self { value, dirty: false })
            .ok_or_else(|| Corrupt(format!("there is no {:?} row", V::KIND)))
    }

    pub(crate) fn get(&self) -> &V {
        &self.value
    }

    pub(crate) fn set(&mut self, value: V) {
        self.dirty |= self.value != value;
        self.value = value;
    }

    pub(crate) fn is_flushed(&self) -> bool {
        !self.dirty
    }

    pub(crate) fn flush(&mut self, changes: &mut Vec<RowChange>) {
        if std::mem::take(&mut self.dirty) {
            changes.push(RowChange::put(encode_key(V::KIND, ()), encode_row(&self.value)));
        }
    }
}
