//! Throughput and latency against the disk's; what many partitions cost.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;
use weir_bench::system::Error;

use super::disk::{self, Raw};
use crate::cell::{Cell, Measured, Software, Subject};
use crate::figures::{Figure, percentile};
use crate::stage::Stage;
use crate::sweep;

/// Bytes of a large message.
const LARGE: usize = 16 << 10;
const SMALL: usize = 1_024;
/// Messages in flight of the comparison of one partition with a hundred.
const COST_IN_FLIGHT: u32 = 4_096;
/// The peers' clusters hold three copies on the one disk.
const COPIES: f64 = 3.0;
/// How long the disk is measured in each way.
const RAW: Duration = Duration::from_secs(3);

/// Megabytes published per second in messages of 16 KiB, against a third of what one writer gets from the disk.
pub async fn disk_limit_share(
    stage: &mut Stage,
    repeats: u32,
    all: &mut Vec<Measured>,
) -> Result<Figure, Error> {
    let swept = stage.measure(Software::Weir, &cells(LARGE)).await?;
    let best = sweep::best(&swept).ok_or("a sweep of nothing")?;
    all.extend(swept);
    let (mut shares, mut details) = (Vec::new(), Vec::new());
    for _ in 0..repeats {
        let folder = stage.folder().to_owned();
        let raw = tokio::task::spawn_blocking(move || Raw::measure(&folder, RAW)).await??;
        let measured = stage.measure(Software::Weir, &[best]).await?.remove(0);
        let published = measured.report.published.rate * LARGE as f64 / 1e6;
        shares.push(published / (raw.fastest() / COPIES));
        details.push(json!({ "raw_mb_per_s": raw, "published_mb_per_s": published }));
        all.push(measured);
    }
    Ok(Figure::own("disk_limit_share", "ratio", shares, json!(details)))
}

/// The p99 of a publish at half the highest rate, against the p99 of a sync of 4 KiB on the same disk meanwhile.
pub async fn publish_over_fsync(
    stage: &mut Stage,
    (best, rate): (Cell, f64),
    repeats: u32,
    all: &mut Vec<Measured>,
) -> Result<Figure, Error> {
    let half = Cell { rate: Some(rate / 2.0), ..best };
    let (mut ratios, mut details) = (Vec::new(), Vec::new());
    for _ in 0..repeats {
        let (running, stop) = mpsc::channel();
        let folder = stage.probes();
        let probing = tokio::task::spawn_blocking(move || disk::probe(&folder, &stop));
        let measured = stage.measure(Software::Weir, &[half]).await;
        drop(running);
        let fsync = percentile(&probing.await??, 0.99);
        let measured = measured?.remove(0);
        let publish = measured.report.published.latency.p99;
        ratios.push(publish / fsync);
        details.push(json!({ "publish_p99_ms": publish, "fsync_p99_ms": fsync, "rate": half.rate }));
        all.push(measured);
    }
    Ok(Figure::own("publish_p99_over_fsync_p99", "ratio", ratios, json!(details)))
}

/// Processor time per message with a hundred partitions, against one.
pub async fn cost_of_partitions(
    stage: &mut Stage,
    repeats: u32,
    all: &mut Vec<Measured>,
) -> Result<Figure, Error> {
    let (mut ratios, mut details) = (Vec::new(), Vec::new());
    for _ in 0..repeats {
        let one = stage.measure(Software::Weir, &[publish(1, COST_IN_FLIGHT, SMALL)]).await?.remove(0);
        let many = stage.measure(Software::Weir, &[publish(100, COST_IN_FLIGHT, SMALL)]).await?.remove(0);
        ratios.push(many.cpu_per_million() / one.cpu_per_million());
        details.push(json!({
            "cpu_s_per_million_1": one.cpu_per_million(), "cpu_s_per_million_100": many.cpu_per_million(),
            "rate_1": one.report.rate(), "rate_100": many.report.rate(),
        }));
        all.extend([one, many]);
    }
    Ok(Figure::own("cost_100_partitions_over_1", "ratio", ratios, json!(details)))
}

fn cells(size: usize) -> Vec<Cell> {
    let each = sweep::QUEUES.iter().flat_map(|queues| [64, 512].map(|in_flight| (*queues, in_flight)));
    each.map(|(queues, in_flight)| publish(queues, in_flight, size)).collect()
}

fn publish(queues: u32, in_flight: u32, size: usize) -> Cell {
    Cell { subject: Subject::WeirStream, queues, in_flight, size, cycle: false, rate: None }
}
