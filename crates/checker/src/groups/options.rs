//! What no history tells of groups.

/// What the checks of groups have to know beside the history.
#[derive(Clone, Debug, Default)]
pub struct GroupOptions {
    /// A poll in the name of a group says so to the partition, which then has to refuse older owners. Default false:
    /// members read as anybody may, and only their commits are fenced.
    pub polls_are_fenced: bool,
}
