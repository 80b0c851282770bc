//! Small durable rows of the node itself: what is known here before any group is open.

use std::ops::ControlFlow;

use bytes::Bytes;
use weir_types::Row;

use crate::engine::Family;
use crate::op::Op;
use crate::tables::node_row;
use crate::{Error, Store};

/// The node's own rows. Cheap to clone.
#[derive(Clone)]
pub struct NodeRows {
    store: Store,
}

impl NodeRows {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// The value under `key`, after everything written so far.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let key = node_row::key(key);
        self.store.written(None, false, move |written| written.view.get(Family::Meta, &key)).await
    }

    /// All rows whose key starts with `prefix`, in key order.
    pub async fn with_prefix(&self, prefix: &[u8]) -> Result<Vec<Row>, Error> {
        let keys = node_row::with_prefix(prefix);
        self.store
            .written(None, false, move |written| {
                let mut rows = Vec::new();
                written.view.scan(Family::Meta, &keys, 0, &mut |key, value| {
                    rows.push(Row { key: node_row::decode(key).to_vec(), value: value.to_vec() });
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok(rows)
            })
            .await
    }

    /// Writes a row; durable on return.
    pub async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.write(key, Some(value.to_vec())).await
    }

    /// Removes a row; durable on return.
    pub async fn delete(&self, key: &[u8]) -> Result<(), Error> {
        self.write(key, None).await
    }

    async fn write(&self, key: &[u8], value: Option<Vec<u8>>) -> Result<(), Error> {
        let key = key.to_vec();
        self.store.perform(|done| Op::NodeRow { key, value, done }).await
    }
}
