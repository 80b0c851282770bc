//! One command, one file. A handler judges first and changes afterwards, so that commands can later be joined into
//! one that happens wholly or not at all. It borrows the parts that it uses.

mod accept_transfer;
mod append;
mod commit_and_append;
mod commit_offset;
mod delete_group;
mod fence;
mod fence_producer;
mod recut;
mod rewrite;
mod seal;
mod set_policy;
mod trim;

pub(crate) use accept_transfer::accept_transfer;
pub(crate) use append::append;
pub(crate) use commit_and_append::commit_and_append;
pub(crate) use commit_offset::commit_offset;
pub(crate) use delete_group::delete_group;
pub(crate) use fence::fence;
pub(crate) use fence_producer::fence_producer;
pub(crate) use recut::recut;
pub(crate) use rewrite::rewrite;
pub(crate) use seal::seal;
pub(crate) use set_policy::set_policy;
pub(crate) use trim::trim;
