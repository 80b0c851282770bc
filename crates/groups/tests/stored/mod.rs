//! The rows that a replica has on disk, as the storage would keep them.

use std::collections::BTreeMap;

use weir_types::{Row, RowChange};

#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Stored(BTreeMap<Vec<u8>, Vec<u8>>);

impl Stored {
    pub(crate) fn write(&mut self, changes: &[RowChange]) {
        for change in changes {
            assert_ne!(change.key.first(), Some(&0), "keys that start with 00 belong to consensus");
            match &change.value {
                Some(value) => self.0.insert(change.key.clone(), value.clone()),
                None => self.0.remove(&change.key),
            };
        }
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        self.0.iter().map(|(key, value)| Row { key: key.clone(), value: value.clone() }).collect()
    }
}
