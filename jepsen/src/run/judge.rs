//! From a history to a verdict: results, page, last line.

use std::fs::File;
use std::io::{self, BufReader};
use std::num::NonZero;
use std::path::Path;

use weir_checker::{ReadError, Reader, Report, judge};

use super::folder::{self, Folder};
use super::options::Options;
use crate::nemesis::Kind;
use crate::report;

/// Bytes read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Judges the history in a folder, and writes what came of it beside it: the results, and the page.
pub fn check(folder: &Folder) -> io::Result<Report> {
    let options: Options = folder::read(&folder.options())?;
    let judged = judge_file(&folder.history(), &options)?;
    folder::write(&folder.results(), &judged)?;
    report::write(folder.path())?;
    Ok(judged)
}

fn judge_file(history: &Path, options: &Options) -> io::Result<Report> {
    let file = BufReader::with_capacity(BUFFER_BYTES, File::open(history)?);
    let mut known = options.workload.check_options(&options.load());
    known.coverage.faults = options.nemesis.iter().map(|kind| kind.name().to_owned()).collect();
    let on_blank_nodes = [Kind::Membership, Kind::Moves].map(|kind| kind.name().to_owned());
    known.coverage.on_blank_nodes = on_blank_nodes.to_vec();
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get) as u32;
    judge(Reader::new(file), &known, workers).map_err(|error| match error {
        ReadError::Io(error) => error,
        line @ ReadError::Line { .. } => io::Error::new(io::ErrorKind::InvalidData, line.to_string()),
    })
}

/// The one line that a run ends with.
pub fn last_line(report: &Report) -> String {
    let weir_checker::Figures { ok, fail, info, length, .. } = report.figures;
    let verdict = match report.verdict {
        weir_checker::Verdict::Valid => "valid",
        weir_checker::Verdict::Invalid => "invalid",
        weir_checker::Verdict::Unknown => "unknown",
    };
    format!("weir-jepsen: {verdict}: {ok} ok, {fail} failed, {info} unknown in {} s", length / 1_000_000)
}
