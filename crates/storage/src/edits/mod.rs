//! What each operation changes: given the catalog, each adds its edits to the batch and notes the change in the
//! catalog. No IO.

pub(crate) mod append;
pub(crate) mod destroy;
pub(crate) mod install;
pub(crate) mod relocate;
pub(crate) mod retire;
pub(crate) mod stage;
pub(crate) mod truncate;
