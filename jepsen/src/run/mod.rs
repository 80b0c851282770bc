//! One run, from an empty host to a verdict.
//!
//! ```text
//!  warm ──► main ──► quiet ──► heal ──► recovery ──► drain ──► end ──► check
//!  load     faults   faults,            load         all is    last
//!                    no writes                       read      looks
//! ```

mod course;
mod digests;
mod folder;
mod judge;
mod options;
mod progress;
mod stall;

use std::io;
use std::path::Path;

use weir_checker::Report;

use crate::doctor;
use crate::env::{Node, Site, SiteOptions};
use crate::history::History;
use crate::nemesis::Kind;
use crate::schedule::{Course, Schedule};
use crate::workload::{SetupError, Workload};

pub use folder::{Folder, read, write};
pub use judge::{check, last_line};
pub use options::Options;
pub use progress::Voice;

/// Why a run came to no verdict at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Asked for what this host cannot do.
    #[error("this host cannot make what was asked for: {0}")]
    Impossible(String),
    /// Files of the run, or the harness's own threads.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The cluster under test.
    #[error("the cluster: {0}")]
    Site(#[from] crate::env::Error),
    /// The topics.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A part of the harness failed.
    #[error("the harness: {0}")]
    Harness(String),
}

/// Draws the schedule of a run.
pub fn draw(options: &Options) -> Schedule {
    Schedule::draw(&Course {
        seed: options.seed,
        length: std::time::Duration::from_secs(options.time_limit_s),
        kinds: &options.nemesis,
        partitions: options.partitions_of_all(),
    })
}

/// Runs a schedule and judges what came of it; everything is in `folder` afterwards.
///
/// # Errors
/// When there is no history to judge.
pub fn run(
    folder: &Path,
    options: &Options,
    schedule: &Schedule,
    voice: Voice,
) -> Result<(Folder, Report), Error> {
    check_possible(options)?;
    let folder = Folder::create(folder)?;
    write(&folder.options(), &options.document())?;
    write(&folder.schedule(), schedule)?;
    folder.link_latest()?;
    let site = Site::start(site_options(&folder, options))?;
    let history = History::create(&folder.history())?;
    let performed = course::perform(&site, options, schedule, &history, voice);
    let problems = site.stop();
    for problem in problems {
        history.lost(weir_checker::Lost::Task(problem));
    }
    history.finish()?;
    performed?;
    drop(site);
    let report = check(&folder)?;
    Ok((folder, report))
}

/// Every fault that a run asks for must be possible: none is left out in silence.
fn check_possible(options: &Options) -> Result<(), Error> {
    if let Some(why) = unfit(options.workload, &options.nemesis) {
        return Err(Error::Impossible(why));
    }
    let doctor = doctor::probe();
    let impossible = |kind: &Kind| doctor.can(*kind, options.net, options.disk).err();
    let reasons: Vec<_> = options.nemesis.iter().filter_map(impossible).collect();
    if reasons.is_empty() { Ok(()) } else { Err(Error::Impossible(reasons.join("; "))) }
}

/// Why a workload's clients cannot bear these faults, if they cannot: what they would find then proves nothing.
fn unfit(workload: Workload, kinds: &[Kind]) -> Option<String> {
    if workload.follows_keys() || !kinds.contains(&Kind::Splits) {
        return None;
    }
    let able = Workload::ALL.into_iter().filter(|workload| workload.follows_keys());
    let able: Vec<_> = able.map(Workload::name).collect();
    Some(format!(
        "{} needs clients that find their keys again when partitions are split and merged: those of --workload {} do, \
         and those of {} do not",
        Kind::Splits,
        able.join(", "),
        workload.name()
    ))
}

fn site_options(folder: &Folder, options: &Options) -> SiteOptions {
    let joining = [Kind::Membership, Kind::Moves].into_iter().filter(|kind| options.nemesis.contains(kind));
    SiteOptions {
        nodes: options.nodes,
        spares: joining.count() as u32,
        net: options.net,
        disk: options.disk,
        other_binary: options.other_binary.clone(),
        mutant: options.mutant.clone(),
        seed: options.seed,
        log_level: options.log_level.clone(),
        keep: options.keep,
        ..SiteOptions::new(folder.site(), &options.binary)
    }
}

/// Nodes as clients know them: name and client address.
fn addresses<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Vec<(String, String)> {
    let address = |node: &Node| (node.name().to_owned(), node.addresses()[0].to_string());
    nodes.into_iter().map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_refused_where_clients_do_not_find_their_keys_again() {
        for workload in Workload::ALL {
            assert_eq!(unfit(workload, &[Kind::Kill, Kind::Moves]), None);
            let splits = unfit(workload, &[Kind::Kill, Kind::Splits]);
            assert_eq!(splits.is_none(), workload == Workload::Elastic, "{workload:?}: {splits:?}");
        }
    }
}
