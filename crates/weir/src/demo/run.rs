//! The conductor: starts everything, kills a node midway, ends everything, and reports.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::cluster::Cluster;
use super::corpus::{freeze, source_files};
use super::job::Job;
use super::report::Report;
use crate::cli::span;
use crate::failure::{Failure, Outcome};
use crate::output::print_line;

/// Start three nodes, do the job, kill a node, and compare with `wc`
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Every source file below this folder becomes tasks
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// So many rounds over the files that there are at least so many tasks
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(100..))]
    tasks: u64,
    /// How long the tasks may take
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "5m")]
    within: Duration,
    /// Where data and logs of this run go, in a folder of its own [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Keep data and logs also when all is well
    #[arg(long)]
    keep: bool,
}

impl Run {
    pub(super) async fn run(self) -> Outcome {
        let verdict = match self.work_folder() {
            Ok(folder) => self.run_in(&folder).await,
            Err(why) => Err(why),
        };
        match verdict {
            Ok(line) => print_line(line.as_bytes()),
            Err(why) => {
                // One line, whatever was said: it is the last one, and read by programs.
                let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
                print_line(format!("quickstart: FAILED {why}").as_bytes())?;
                Err(Failure::reported())
            }
        }
    }

    async fn run_in(&self, folder: &Path) -> Result<String, String> {
        // Dropping the work kills what it has started.
        let report = tokio::select! {
            report = self.conduct(folder) => report,
            () = interrupted() => Err("interrupted".to_owned()),
        };
        let verdict = report.and_then(|report| {
            print_line(report.table().as_bytes()).map_err(|_| "standard output is closed".to_owned())?;
            report.verdict()
        });
        if verdict.is_err() || self.keep {
            eprintln!("data and logs are kept in {}", folder.display());
        } else if let Err(error) = fs::remove_dir_all(folder) {
            eprintln!("{} stays: {error}", folder.display());
        }
        verdict
    }

    /// A new folder: nothing of an earlier run is in the way.
    fn work_folder(&self) -> Result<PathBuf, String> {
        let parent = self.work_dir.clone().unwrap_or_else(std::env::temp_dir);
        let folder = parent.join(format!(
            "weir-quickstart-{}-{}",
            std::process::id(),
            jiff::Timestamp::now().as_second()
        ));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(folder)
    }

    async fn conduct(&self, folder: &Path) -> Result<Report, String> {
        let files = self.input(&folder.join("input")).await?;
        let rounds = self.tasks.div_ceil(files.len() as u64);
        eprintln!(
            "{} source files below {}, {rounds} rounds: {} tasks",
            files.len(),
            self.folder.display(),
            files.len() as u64 * rounds
        );
        eprintln!("starting three nodes, data and logs in {}", folder.display());
        let mut cluster = Cluster::start(folder).await?;
        let report = Job { files, rounds, within: self.within }.run(&mut cluster, folder).await;
        eprintln!("stopping the nodes");
        for complaint in cluster.stop().await {
            eprintln!("  {complaint}");
        }
        report
    }

    /// Copies of all source files.
    async fn input(&self, into: &Path) -> Result<Vec<PathBuf>, String> {
        let (folder, into) = (self.folder.clone(), into.to_owned());
        let copied = tokio::task::spawn_blocking(move || {
            let folder = fs::canonicalize(folder)?;
            freeze(&source_files(&folder)?, &folder, &into)
        });
        let copied = copied.await.map_err(|error| error.to_string())?;
        let files = copied.map_err(|error| format!("{}: {error}", self.folder.display()))?;
        if files.is_empty() {
            return Err(format!("there is no source file below {}", self.folder.display()));
        }
        // JSON, and so a task, holds text.
        match files.iter().find(|file| file.to_str().is_none()) {
            None => Ok(files),
            Some(file) => Err(format!("{} has a name that is no UTF-8", file.display())),
        }
    }
}

/// Completes when a person or a program wants the run to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}
