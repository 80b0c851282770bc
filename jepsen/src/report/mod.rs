//! The page of a run: one self-contained HTML file.
//!
//! ```text
//!  results.json ─► anomalies ──────────────────────────────┐
//!  history.jsonl ─► first pass: gather/ (charts, evidence) ├─► page/ ─► report.html
//!                └► second pass: lives (what each anomaly  ┘
//!                   is about)
//! ```
//!
//! Charts are inline SVG, 1000 wide and 100 high whatever the screen; text stands beside them as HTML, so that it is as
//! large on a telephone as on a desk. The script of the page only adds what paper lacks: zoom and a cursor.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "places on a screen: no time is negative, and a pixel is coarser than any rounding"
)]

mod gather;
mod lives;
mod page;
mod run;
mod scale;
mod squeeze;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use weir_checker::story;

use gather::Gathered;
use run::Run;
use scale::Time;

/// The anomalies of the run in a directory, each with the operations that touch what it is about.
///
/// # Errors
/// As [`write()`].
pub fn stories(directory: &Path) -> io::Result<Vec<String>> {
    let run = Run::open(directory)?;
    let chosen = story::chosen(&run.report);
    let (mut lines, mut proof) = (story::evidence(&chosen), BTreeMap::new());
    for event in run.events()? {
        if lines.is_empty() {
            break;
        }
        let (line, event) = event?;
        if lines.remove(&line) {
            proof.insert(line, event);
        }
    }
    Ok(lives::gather(&run, chosen, &proof)?.iter().map(ToString::to_string).collect())
}

/// Writes `report.html` into the directory of a run, which holds `history.jsonl` and `results.json`, and `options.json`
/// and `schedule.json` if they were written. Gives back where it is.
///
/// # Errors
/// When the directory cannot be read or written, or a file is not what it should be.
pub fn write(directory: &Path) -> io::Result<PathBuf> {
    let run = Run::open(directory)?;
    let time = Time::new(run.report.figures.length);
    let chosen = story::chosen(&run.report);
    let mut gathered = Gathered::new(time, story::evidence(&chosen));
    for event in run.events()? {
        let (line, event) = event?;
        gathered.observe(line, &event);
    }
    let lives = lives::gather(&run, chosen, &gathered.wanted)?;
    let page = page::Page { run: &run, time, gathered: &gathered, lives: &lives };
    fs::write(run.page(), page.render())?;
    Ok(run.page())
}
