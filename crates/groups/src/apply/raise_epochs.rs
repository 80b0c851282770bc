//! `RaiseEpochs`: partitions of a restored stream know epochs that another cluster's coordinator gave, and refuse lower ones.

use weir_types::Output;

use crate::coordinator::Coordinator;
use crate::member::Epoch;
use crate::output::{Effect, Reply};
use crate::rows;

/// So many epochs may the other coordinator have given since: its owners, which may still live, never pass for ours.
const EPOCHS_APART: u64 = 1 << 32;

impl Coordinator {
    pub(crate) fn raise_epochs(&mut self, above: Epoch, out: &mut Output<Effect>) -> Reply {
        let apart = Epoch((above.0 / EPOCHS_APART + 1).saturating_mul(EPOCHS_APART));
        if self.epoch < apart {
            self.epoch = apart;
            rows::put_epoch(apart, out);
        }
        Reply::EpochsRaised
    }
}
