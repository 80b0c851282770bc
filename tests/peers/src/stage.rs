//! One software at a time on the machine: started with fresh data, measured, stopped.

use std::path::{Path, PathBuf};

use weir_bench::system::Error;

use crate::cell::{Cell, Length, Measured, Software};
use crate::cluster::Cluster;
use crate::process::Process;
use crate::{nats, rabbitmq, weir};

/// Where clusters live, and which Weir.
#[derive(Debug)]
pub struct Stage {
    folder: PathBuf,
    weir: PathBuf,
    runs: u64,
    length: Length,
}

impl Stage {
    /// Below a folder, with a binary of Weir.
    pub fn new(folder: &Path, weir: &Path, length: Length) -> Self {
        Self { folder: folder.to_owned(), weir: weir.to_owned(), runs: 0, length }
    }

    /// Where the clusters' data lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the disk is probed while a cluster runs: beside its data, which go when the next one starts.
    pub fn probes(&self) -> PathBuf {
        self.folder.with_extension("probes")
    }

    /// Starts a node of Weir again, with its data.
    pub fn restart_weir(&self, place: usize) -> Result<Process, Error> {
        weir::node(&self.weir, &self.folder, place as u16)
    }

    /// Starts three nodes with fresh data.
    pub async fn start(&mut self, software: Software) -> Result<Cluster, Error> {
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        std::fs::create_dir_all(&self.folder)?;
        match software {
            Software::Weir => weir::start(&self.weir, &self.folder).await,
            Software::Rabbitmq => rabbitmq::start(&self.folder).await,
            Software::Nats => nats::start(&self.folder).await,
        }
    }

    /// Measures cells of one software one after the other, on a cluster of its own; tells each line as it comes.
    pub async fn measure(&mut self, software: Software, cells: &[Cell]) -> Result<Vec<Measured>, Error> {
        let mut cluster = self.start(software).await?;
        let measured = self.measure_on(&mut cluster, cells).await;
        cluster.stop().await;
        measured
    }

    async fn measure_on(&mut self, cluster: &mut Cluster, cells: &[Cell]) -> Result<Vec<Measured>, Error> {
        let mut all = Vec::new();
        for cell in cells {
            self.runs += 1;
            let measured = cell.measure(cluster, &self.folder, self.length, self.runs).await?;
            eprintln!("{}", line(&measured));
            all.push(measured);
        }
        Ok(all)
    }
}

/// A cell in a line.
pub fn line(measured: &Measured) -> String {
    let Cell { subject, queues, in_flight, cycle, rate, .. } = measured.cell;
    let what = if cycle { "cycle" } else { "publish" };
    let open = rate.map(|rate| format!(" at {rate:.0}/s")).unwrap_or_default();
    let side = measured.report.consumed.as_ref().unwrap_or(&measured.report.published);
    let window = side.messages.max(1) as f64 / side.rate.max(1e-9);
    format!(
        "{:<22} {what:<7} {queues:>3} queues {in_flight:>5} in flight{open}: {:>8.0}/s  p50 {:>7.2} ms  p99 {:>8.2} ms  \
         {:>6.1} CPU s/M  {:>5.2} B written/B  {:>5.0} flushes/s{}",
        subject.to_string(),
        side.rate,
        side.latency.p50,
        side.latency.p99,
        measured.cpu_per_million(),
        measured.written_per_byte(),
        measured.usage.disk_flushes as f64 / window,
        if subject.syncs() { "" } else { "  (acknowledged before fsync)" },
    )
}
