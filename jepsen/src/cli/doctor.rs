//! Which faults this host can make.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use comfy_table::{ContentArrangement, Table};

use super::run::{Kinds, binary_or_built};
use super::{Outcome, Screen};
use crate::doctor::{self, Mechanism, Tried, probe};
use crate::env::{Disk, Net, SiteOptions};
use crate::nemesis::Kind;

/// The doctor.
#[derive(Clone, Debug, Args)]
pub(super) struct Doctor {
    /// Make faults, too: each of these kinds once on a cluster of three nodes, or `all` that this host can make. Half a
    /// minute, and three seconds or more per kind
    #[arg(long = "try", value_name = "KINDS", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    wanted: Option<Wanted>,
    /// How long each fault lasts, in seconds
    #[arg(long, default_value_t = 3, value_name = "S", requires = "wanted", value_parser = clap::value_parser!(u64).range(1..=600))]
    lasts: u64,
    /// The `weir` to run; unless it is named, the one beside the harness, which is built if missing
    #[arg(long, value_name = "PATH", requires = "wanted")]
    binary: Option<PathBuf>,
}

/// The kinds to make.
#[derive(Clone, Debug)]
enum Wanted {
    /// All that are possible.
    All,
    /// These, each of which must be possible.
    These(Vec<Kind>),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(|Kinds(kinds)| Self::These(kinds)) }
    }
}

impl Doctor {
    pub(super) fn perform(self, screen: Screen) -> Outcome {
        let found = probe();
        let Some(wanted) = &self.wanted else {
            screen.show(found.table(), &found)?;
            let all = found.capabilities.iter().all(|capability| capability.works);
            return Ok(code(all));
        };
        let tried = self.make(&found, wanted)?;
        screen.show(table(&tried), &tried)?;
        Ok(code(tried.iter().all(|tried| tried.well)))
    }

    fn make(
        &self,
        found: &doctor::Doctor,
        wanted: &Wanted,
    ) -> Result<Vec<Tried>, Box<dyn std::error::Error>> {
        let net = if found.works(Mechanism::Network) { Net::Tun } else { Net::Plain };
        let disk = if found.works(Mechanism::Disk) { Disk::Loop } else { Disk::Plain };
        let mut kinds = Vec::new();
        let named = match wanted {
            Wanted::All => Kind::ALL,
            Wanted::These(named) => named,
        };
        for kind in named {
            match (found.can(*kind, net, disk), wanted) {
                (Ok(()), _) => kinds.push(*kind),
                (Err(why), Wanted::These(_)) => return Err(why.into()),
                (Err(why), Wanted::All) => eprintln!("left out: {why}"),
            }
        }
        let folder = std::env::temp_dir().join(format!("weir-doctor-{}", std::process::id()));
        let options =
            SiteOptions { net, disk, ..SiteOptions::new(&folder, binary_or_built(self.binary.as_deref())?) };
        let lasts = Duration::from_secs(self.lasts);
        let tried = doctor::try_kinds(options, &kinds, lasts, |tried| {
            eprintln!("{:<16} {}", tried.kind.name(), if tried.well { "well" } else { "BAD" });
        })?;
        if tried.iter().all(|tried| tried.well) {
            std::fs::remove_dir_all(&folder)?;
        } else {
            eprintln!("the logs of the nodes are in {}", folder.display());
        }
        Ok(tried)
    }
}

fn code(all: bool) -> ExitCode {
    if all { ExitCode::SUCCESS } else { ExitCode::from(super::UNKNOWN) }
}

fn table(all: &[Tried]) -> Table {
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["fault", "went", "nodes", "ms", "acknowledged", "what was done"]);
    for tried in all {
        let told = tried.told.iter().chain(&tried.problems).cloned().collect::<Vec<_>>();
        table.add_row([
            tried.kind.to_string(),
            if tried.well { "well" } else { "BAD" }.to_owned(),
            tried.nodes.join(" "),
            tried.took_ms.to_string(),
            tried.acknowledged.to_string(),
            told.join("; "),
        ]);
    }
    table
}
