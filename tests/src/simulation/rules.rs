//! What the messages of a run's queue carry, and the queue's rules for them.

use super::workload::Flavour;
use crate::Dice;

/// Flavours of the queue's messages; half of the runs have none.
const FLAVOURS: [Flavour; 8] = [
    Flavour::Plain,
    Flavour::Plain,
    Flavour::Plain,
    Flavour::Plain,
    Flavour::Keys,
    Flavour::Delays,
    Flavour::Priorities,
    Flavour::Lifetimes,
];
/// In one run of so many, of those without a flavour, all that is sent goes over a link.
const LINKED_ONE_IN: u64 = 4;
/// In one run of so many, of those without a flavour, acked messages are kept.
const KEPT_ONE_IN: u64 = 3;
/// In one run of so many, a partition has few leases.
const FEW_LEASES_ONE_IN: u64 = 4;
/// How many that is: fewer than what its workers ask for together.
const FEW_LEASES: u32 = 8;
/// In one run of so many, partitions are split and merged.
const RESHAPED_ONE_IN: u64 = 4;

/// The rules of one run.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Rules {
    /// What messages carry.
    pub flavour: Flavour,
    /// Leases that a key may have, where messages have keys.
    pub leases_per_key: u32,
    /// Whether a parked message holds its key, where messages have keys.
    pub parked_hold_key: bool,
    /// Most leases of a partition, if there is a limit.
    pub leases_max: Option<u32>,
    /// Whether what is sent to the queue comes over a link from a stream, and what is sent to the stream from a queue.
    pub linked: bool,
    /// Whether acked messages are kept, and replayed when all is over.
    pub kept: bool,
    /// Whether partitions are split and merged all the time. Then everything has a key.
    pub reshaped: bool,
}

impl Rules {
    /// The rules that belong to a seed.
    pub(super) fn draw(seed: u64) -> Self {
        let drawn = Self::unreshaped(seed);
        // Dice of its own: what else a seed stands for is what it was before there was this.
        let is_reshaped = Dice::new(seed ^ 0x5bf2_u64.rotate_left(40)).below(RESHAPED_ONE_IN) == 0;
        if is_reshaped { drawn.reshaped() } else { drawn }
    }

    /// The same, but for splits and merges.
    pub(super) fn unreshaped(seed: u64) -> Self {
        let dice = &mut Dice::new(seed ^ 0xf1a0_u64.rotate_left(40));
        let flavour = *dice.pick(&FLAVOURS);
        Self {
            flavour,
            leases_per_key: 1 + dice.below(2) as u32,
            parked_hold_key: dice.below(2) == 0,
            leases_max: (dice.below(FEW_LEASES_ONE_IN) == 0).then_some(FEW_LEASES),
            linked: flavour == Flavour::Plain && dice.below(LINKED_ONE_IN) == 0,
            kept: flavour == Flavour::Plain && dice.below(KEPT_ONE_IN) == 0,
            reshaped: false,
        }
    }

    /// The same with splits and merges, of a FIFO queue and of a stream.
    pub(super) fn reshaped(self) -> Self {
        Self { flavour: Flavour::Keys, linked: false, kept: false, reshaped: true, ..self }
    }

    /// Whether messages may leave a queue without being acked or discarded, which nothing counts.
    pub(super) fn drop_messages(self) -> bool {
        self.linked || self.reshaped || matches!(self.flavour, Flavour::Delays | Flavour::Lifetimes)
    }
}
