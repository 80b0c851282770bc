//! Planted bugs. A check that has never caught one proves nothing, so each of these stands in the product where the
//! real decision is made, and `scripts/mutants` shows that the simulator catches it.
//!
//! Without the feature `mutants` nothing is planted: [`on`] is a constant. With it, a process carries all of them and
//! acts on the one that the variable `WEIR_MUTANT` names, if any. The feature does not compile without debug assertions, so that no
//! release can have it.

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("planted bugs belong in no release: build with `--profile sim` or a debug profile");

/// Whether planted bugs are compiled in.
pub const COMPILED_IN: bool = cfg!(feature = "mutants");

/// The environment variable that names the one to act on.
pub const VARIABLE: &str = "WEIR_MUTANT";

macro_rules! mutants {
    ($($name:ident $process:literal $what:literal at $at:literal killed by $killed_by:literal;)*) => {
        /// A planted bug. Numbers are never used again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $(#[doc = $what] $name,)*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What is wrong, where, and what has to notice.
            pub const fn planted(self) -> Planted {
                match self {
                    $(Self::$name => Planted {
                        name: stringify!($name),
                        what: $what,
                        at: $at,
                        killed_by: $killed_by,
                        process: $process,
                    },)*
                }
            }
        }
    };
}

/// What there is to know of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planted {
    /// Its name.
    pub name: &'static str,
    /// What is wrong.
    pub what: &'static str,
    /// The file that it is planted in.
    pub at: &'static str,
    /// Checks and properties, at least one of which must notice.
    pub killed_by: &'static str,
    /// Real processes under real faults must show it too.
    pub process: bool,
}

// M03 (applied before it is committed) and M18 (a removed voter still counts) are openraft's own decisions and cannot
// be planted from outside.
mutants! {
    M01 true "an append is answered before its sync"
        at "crates/storage/src/edits/append.rs" killed by "Q1 lost-message, P1";
    M02 false "a vote is not synced"
        at "crates/storage/src/log_writer.rs" killed by "election safety, durable votes";
    M04 true "a settle under a superseded lease is taken"
        at "crates/queue/src/apply/settle.rs" killed by "Q8 zombie-ack, P6";
    M05 true "leases run on the wall clock"
        at "crates/broker/src/replica/clock.rs" killed by "Q7 lease-double-grant, P3";
    M06 false "a message whose attempts are used up is dropped, not parked"
        at "crates/queue/src/apply/park.rs" killed by "Q1 lost-message, Q11 parked, P7";
    M07 true "a queue forgets its producers' batches when it is restored"
        at "crates/queue/src/queue.rs" killed by "Q5 duplicate-enqueue, P10";
    M08 false "a stream forgets its groups' positions when it is restored"
        at "crates/stream/src/stream.rs" killed by "group-offset, P14";
    M09 true "a read is answered without asking a majority"
        at "crates/consensus/src/barrier.rs" killed by "tail/append, group-offset";
    M10 true "writes that a disk lost go unnoticed"
        at "crates/storage/src/open.rs" killed by "Q1 lost-message, election safety";
    M11 false "leases do not survive a restore"
        at "crates/queue/src/queue.rs" killed by "Q7 lease-double-grant, P3";
    M12 false "lease ids start again at a restore"
        at "crates/queue/src/queue.rs" killed by "Q9 lease-token-regress, P5";
    M13 false "entries are deleted that followers may still need"
        at "crates/consensus/src/raft/shared.rs" killed by "L6 converge, a dead group";
    M14 false "an applied batch leaves out one of its rows"
        at "crates/consensus/src/raft/applier.rs" killed by "Q2 lost-on-replica, P12, a dead group";
    M15 true "a commit of an older epoch is taken"
        at "crates/stream/src/apply/commit_offset.rs" killed by "zombie-commit, P14";
    M16 true "a new leader lets every lease run out"
        at "crates/broker/src/replica/clock.rs" killed by "Q7 lease-double-grant, P3";
    M17 true "a failed write is answered like one that succeeded"
        at "crates/storage/src/log_writer.rs" killed by "Q1 lost-message, P1";
    M19 true "a stream forgets its producers' batches when it is restored"
        at "crates/stream/src/stream.rs" killed by "duplicate, P10";
    M20 false "a repeated batch is appended again"
        at "crates/stream/src/apply/append.rs" killed by "duplicate, P10";
    M21 false "a repeated batch is enqueued again"
        at "crates/queue/src/producers.rs" killed by "Q5 duplicate-enqueue, P10";
    M22 false "leases run out half a second early"
        at "crates/queue/src/apply/timers.rs" killed by "Q7 lease-double-grant, P3";
    M23 false "an acked message stays leased"
        at "crates/queue/src/apply/ack.rs" killed by "Q6 redelivery-after-ack, P2";
    M24 false "a superseded settle is told that it succeeded"
        at "crates/queue/src/apply/settle.rs" killed by "Q8 zombie-ack, P6";
    M25 false "a vote is granted whatever the candidate's log"
        at "crates/consensus/src/handler.rs" killed by "Q1 lost-message, lost-write, P1";
    M26 false "a vote is not stored"
        at "crates/consensus/src/raft/log_store.rs" killed by "election safety, durable votes";
    M27 false "entries that another leader overwrites stay in the log"
        at "crates/storage/src/edits/truncate.rs" killed by "log matching, inconsistent-offset";
    M28 false "a snapshot leaves out the entries that its rows point to"
        at "crates/consensus/src/snapshot/view.rs" killed by "lost-write, P1, a dead group";
    M29 false "a queue keeps its newest entry only"
        at "crates/queue/src/queries.rs" killed by "Q1 lost-message, P1";
    M30 false "every batch of an entry is taken to lie at the front of its bodies"
        at "crates/broker/src/partition/driver.rs" killed by "corrupt-payload, Q1 lost-message, inconsistent-offset";
    M31 true "an ack-and-append appends although a lease was lost"
        at "crates/queue/src/apply/ack_and_append.rs" killed by "Q8 zombie-ack, Q15 torn-pair, P11";
    M32 true "a transfer that comes again is taken in again"
        at "crates/stream/src/apply/accept_transfer.rs" killed by "duplicate, P11";
    M33 true "a commit-and-append is taken wherever the group stands"
        at "crates/stream/src/apply/commit_and_append.rs" killed by "duplicate, P11";
    M34 false "a queue forgets whose turn was last when it is restored"
        at "crates/queue/src/queue.rs" killed by "L6 converge, Q0 unexplained-life, P12";
    M35 true "a message that waits for its next attempt does not hold its key"
        at "crates/queue/src/keys.rs" killed by "Q12 fifo-overtaken, P4";
    M36 true "a key may have any number of leases"
        at "crates/queue/src/keys.rs" killed by "Q12 fifo-overtaken, P4";
    M37 false "a message that returns leaves the later leases of its key alone"
        at "crates/queue/src/apply/give_back.rs" killed by "sound machines, P4";
    M38 false "a parked message does not hold its key"
        at "crates/queue/src/apply/park.rs" killed by "Q12 fifo-overtaken, P4";
    M39 true "the delivery time of a message is forgotten"
        at "crates/queue/src/apply/enqueue.rs" killed by "Q13 early-delivery, P8";
    M40 true "a message that is called off stays"
        at "crates/queue/src/apply/cancel.rs" killed by "Q17 delivered-after-cancel, P8";
    M41 true "the lowest priority goes first"
        at "crates/queue/src/ready.rs" killed by "Q14 priority-inversion";
    M42 false "a message that returns goes before all priorities"
        at "crates/queue/src/item.rs" killed by "Q14 priority-inversion";
    M43 true "a message never expires"
        at "crates/queue/src/apply/enqueue.rs" killed by "Q16 delivered-expired, P8";
    M44 false "neighbours in a batch share the first one's time to live"
        at "crates/queue/src/apply/enqueue.rs" killed by "Q1 lost-message, Q16 delivered-expired, P8";
    M45 true "a source retires one batch more than has arrived"
        at "crates/types/src/outbox.rs" killed by "lost-write, Q15 torn-pair, P11, a run that does not end";
    M46 true "a subscription takes the record that it resumes with for one that has arrived"
        at "crates/broker/src/links/subscriptions.rs" killed by "Q1 lost-message, P11";
    M47 true "a queue takes in a transfer that comes again"
        at "crates/queue/src/apply/transfer.rs" killed by "Q5 duplicate-enqueue, P11";
    M48 false "a partition may have any number of leases"
        at "crates/queue/src/room.rs" killed by "lease limit";
    M49 false "of two neighbours that are kept for a replay only one comes again"
        at "crates/queue/src/kept.rs" killed by "replay, sound machines";
    M50 true "a sealed stream takes appends in"
        at "crates/stream/src/apply/append.rs" killed by "S10 lineage-order, G4, sound machines, P15";
    M51 true "the coordinator hands a child out while its parents are still read"
        at "crates/groups/src/topic.rs" killed by "G4 child-before-parent, sound machines, P15";
    M52 true "what is cut anew for the children of a sealed destination is forgotten"
        at "crates/types/src/outbox.rs" killed by "G3 torn-step, Q15 torn-pair, P11";
    M53 true "a child of a FIFO queue delivers without waiting for its parent"
        at "crates/queue/src/keys.rs" killed by "Q18 lineage-overtaken, sound machines, P15";
    M54 true "a child's lease ids begin below its parent's"
        at "crates/queue/src/apply/inherit.rs" killed by "Q9 key-token-regress, P5";
    M55 true "a sealed queue takes messages in"
        at "crates/queue/src/apply/seal.rs" killed by "Q18 lineage-order, sound machines, P15";
}

/// Whether the process acts on this planted bug.
#[cfg(not(feature = "mutants"))]
#[inline]
pub const fn on(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use armed::{NoSuchMutant, arm_named, on};

#[cfg(feature = "mutants")]
mod armed {
    use std::sync::OnceLock;

    use super::{Mutant, Planted, VARIABLE};

    static ARMED: OnceLock<Mutant> = OnceLock::new();

    /// There is no mutant of that name, or another one is armed.
    #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
    #[error("there is no mutant `{name}` to arm")]
    pub struct NoSuchMutant {
        /// What was asked for.
        pub name: String,
    }

    /// Makes the process act, for the rest of its life, on the mutant that [`VARIABLE`] names, if it names one. Called
    /// first thing by whatever carries mutants; what is armed is to be said aloud.
    pub fn arm_named() -> Result<Option<Planted>, NoSuchMutant> {
        let Some(name) = std::env::var_os(VARIABLE) else { return Ok(None) };
        let name = name.to_string_lossy().into_owned();
        let found = Mutant::ALL.iter().copied().find(|mutant| mutant.planted().name == name);
        match found {
            Some(mutant) if *ARMED.get_or_init(|| mutant) == mutant => Ok(Some(mutant.planted())),
            _ => Err(NoSuchMutant { name }),
        }
    }

    /// Whether the process acts on this planted bug.
    pub fn on(mutant: Mutant) -> bool {
        ARMED.get() == Some(&mutant)
    }
}

#[cfg(all(test, not(feature = "mutants")))]
mod tests {
    use super::*;

    #[test]
    fn no_mutant_is_on_unless_the_feature_is() {
        assert!(Mutant::ALL.iter().all(|mutant| !on(*mutant)));
    }

    #[test]
    fn there_are_at_least_twenty_and_each_says_what_must_notice_it() {
        assert!(Mutant::ALL.len() >= 20);
        assert!(Mutant::ALL.iter().all(|mutant| !mutant.planted().killed_by.is_empty()));
    }
}
