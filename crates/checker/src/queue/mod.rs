//! Checks of queues.
//!
//! What they go by: a message is an automaton of its own, so that its life can be judged alone; few properties
//! (order, priority, payloads) bind messages to each other.
//!
//! | check | promise | anomaly | file |
//! |---|---|---|---|
//! | Q0 | P1–P3, P6, P7 | `unexplained-life`: no order of the operations is one that the automaton takes | `automaton/` |
//! | Q1 | P1 | `lost-message` | `lost.rs` |
//! | Q2 | P12 | `lost-on-replica` | `replicas.rs` |
//! | Q3 | P1 | `phantom`, `wrong-payload`, `corrupt-payload` | `phantom.rs`, `payload.rs` |
//! | Q4 | P1 | `dirty-delivery` | `phantom.rs` |
//! | Q5 | P10 | `duplicate-enqueue` | `phantom.rs` |
//! | Q6 | P2 | `redelivery-after-ack` | `redelivery.rs` |
//! | Q7 | P3 | `lease-double-grant`, `lease-shared` | `double_grant.rs` |
//! | Q8 | P6 | `zombie-settle` | `zombie.rs` |
//! | Q9 | P5 | `lease-token-regress`, `key-token-regress` | `token.rs` |
//! | Q10 | P7 | `attempt-regress`, `attempt-skip`, `attempts-exceeded` | `attempts.rs` |
//! | Q11 | P7 | `parked-lost-move`, `parked-duplicate-move`, `parked-early-move`, `parked-after-ack` | `parked.rs` |
//! | Q12 | P4, P15 | `fifo-order`, `fifo-overtaken` | `fifo.rs` |
//! | Q13 | P8 | `early-delivery`, `late-delivery` | `delay.rs` |
//! | Q14 | | `priority-inversion` | `priority.rs` |
//! | Q15 | P11 | `torn-pair` | `pairs.rs` |
//! | Q16 | P8 | `delivered-expired`, `expired-early` | `ttl.rs` |
//! | Q17 | P8 | `delivered-after-purge`, `delivered-after-discard`, `delivered-after-cancel` | `purge.rs` |
//! | Q18 | P4, P15 | `lineage-order`, `lineage-overtaken` | `lineage.rs` |
//!
//! Rules of evidence. An operation happened between its two times, or not at all when it failed; one whose outcome is
//! unknown may happen at any time after its beginning. A lease is granted by a receive, and lasts as long as its
//! delivery says, less the clocks' rates; leases of deliveries that do not say may end at any time, which is how those
//! of a session have to be written down, and those of a receive that was asked again. A receive whose outcome is unknown
//! may have leased any message.
//!
//! Several sends of one payload, and several settles that ask the same under one lease, are tries of one request: it
//! happened if any of them did, and not before the first that may have. A purge, and a redrive or discard of several
//! messages, is done in steps: one that failed may have done some of them.

mod attempts;
mod automaton;
mod case;
mod delay;
mod double_grant;
mod fifo;
mod life;
mod lineage;
mod lives;
mod lost;
mod pairs;
mod parked;
mod payload;
mod phantom;
mod priority;
mod purge;
mod redelivery;
mod replicas;
mod token;
mod topic;
mod ttl;
mod values;
mod zombie;

use case::Case;
use lives::{Lives, Partition};
use topic::Topic;

use crate::checks::{Fold, Shard};
use crate::{Findings, Options, QueueOptions};

/// A check of single messages.
type MessageCheck = (&'static str, fn(&Case<'_>, &mut Findings));
/// A check of one partition's messages together.
type PartitionCheck = (&'static str, fn(&Whole<'_>, &mut Findings));

/// The anomalies of queues, by check.
pub const ANOMALIES: &[&str] = &[
    "unexplained-life",
    "lost-message",
    "lost-on-replica",
    "phantom",
    "wrong-payload",
    "corrupt-payload",
    "dirty-delivery",
    "duplicate-enqueue",
    "redelivery-after-ack",
    "lease-double-grant",
    "lease-shared",
    "zombie-settle",
    "lease-token-regress",
    "key-token-regress",
    "attempt-regress",
    "attempt-skip",
    "attempts-exceeded",
    "parked-lost-move",
    "parked-duplicate-move",
    "parked-early-move",
    "parked-after-ack",
    "fifo-order",
    "fifo-overtaken",
    "early-delivery",
    "late-delivery",
    "priority-inversion",
    "torn-pair",
    "delivered-expired",
    "expired-early",
    "delivered-after-purge",
    "delivered-after-discard",
    "delivered-after-cancel",
    "lineage-order",
    "lineage-overtaken",
];

const MESSAGE_CHECKS: &[MessageCheck] = &[
    ("Q3 phantom", payload::judge),
    ("Q6 redelivery-after-ack", redelivery::judge),
    ("Q7 lease-double-grant", double_grant::judge),
    ("Q8 zombie-settle", zombie::judge),
    ("Q9 lease-token-regress", token::judge),
    ("Q10 attempt-count", attempts::judge),
    ("Q11 parked", parked::judge),
    ("Q13 delay", delay::judge),
    ("Q15 ack-and-append", pairs::judge),
    ("Q16 ttl", ttl::judge),
    ("Q17 purge", purge::judge),
];

const PARTITION_CHECKS: &[PartitionCheck] = &[
    ("Q9 lease-token-regress", token::judge_keys),
    ("Q12 fifo", fifo::judge),
    ("Q14 priority", priority::judge),
];

/// One partition, with what surrounds it.
struct Whole<'a> {
    name: &'a str,
    topic: &'a Topic,
    number: u32,
    partition: &'a Partition,
    queue: &'a QueueOptions,
}

/// Checks that every worker runs on its share.
pub(crate) fn shared(options: &Options, shard: Shard) -> Vec<Box<dyn Fold>> {
    vec![Box::new(Lives::new(options, shard)), Box::new(values::Values::new(options, shard))]
}

/// Checks that see everything.
pub(crate) fn whole(options: &Options) -> Vec<Box<dyn Fold>> {
    vec![Box::new(replicas::Replicas::default()), Box::new(lineage::Lines::new(options))]
}
