//! No `RocksDB` call is made on an async worker: one that waits for the disk there stops every task behind it.

/// Panics in debug and test builds when called within an async runtime.
pub(crate) fn off_the_runtime() {
    debug_assert!(
        tokio::runtime::Handle::try_current().is_err(),
        "a RocksDB call on an async runtime: go through the log writer or the read pool"
    );
}
