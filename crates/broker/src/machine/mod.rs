//! How each pure machine plugs into the generic [`Replica`](crate::replica::Replica).

mod groups;
mod metadata;
mod queue;
mod stream;
