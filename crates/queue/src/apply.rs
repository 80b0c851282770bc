//! One command, one file. A handler is a method of [`Queue`](crate::Queue) that reads the command; what it does
//! to single messages are functions over the [`Backlog`](crate::backlog::Backlog), shared between commands.

mod ack;
mod ack_and_append;
mod cancel;
mod discard;
mod drained;
mod enqueue;
mod extend;
mod give_back;
mod inherit;
mod lease;
mod move_on;
mod nack;
mod park;
mod policy;
mod purge;
mod raise_leases;
mod recut;
mod redrive;
mod reject;
mod release;
mod relocate;
mod replay;
mod seal;
mod settle;
mod timers;
mod transfer;

pub(crate) use raise_leases::LEASES_APART;
