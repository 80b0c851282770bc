//! What no history tells of streams.

/// What the checks of streams have to know beside the history. The defaults are the contract's own.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// An empty poll proves that the partition ended there at some time while it ran. Default true: reads are
    /// linearizable. When false, only the bounds of a partition prove where it ends.
    pub polls_see_the_end: bool,
    /// The records of one producer that were acknowledged at their first attempt stand in each partition in the order
    /// of their sequence. Default true: producers are idempotent, and so may have several on their way.
    pub producers_in_order: bool,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { polls_see_the_end: true, producers_in_order: true }
    }
}
