//! Which faults this host can make.

use std::process::ExitCode;

use clap::Args;

use super::{Outcome, Screen};
use crate::doctor::probe;

/// The doctor.
#[derive(Clone, Debug, Args)]
pub(super) struct Doctor {}

impl Doctor {
    #[expect(clippy::unused_self, reason = "every verb performs itself")]
    pub(super) fn perform(self, screen: Screen) -> Outcome {
        let doctor = probe();
        screen.show(doctor.table(), &doctor)?;
        let all = doctor.capabilities.iter().all(|capability| capability.works);
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(super::UNKNOWN) })
    }
}
