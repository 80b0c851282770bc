//! What Weir is measured by alone: against its disk, against itself, and by the clock.

mod backlog;
mod disk;
mod failover;
mod idle;
mod limits;
mod reads;

use weir_bench::system::Error;

use crate::cell::{Cell, Measured};
use crate::figures::Figure;
use crate::stage::Stage;

/// All of them. `best` is the cell in which the stream was fastest, and what it came to there.
pub async fn all(
    stage: &mut Stage,
    best: (Cell, f64),
    repeats: u32,
) -> Result<(Vec<Figure>, Vec<Measured>), Error> {
    let mut measured = Vec::new();
    let mut figures = vec![
        limits::disk_limit_share(stage, repeats, &mut measured).await?,
        limits::publish_over_fsync(stage, best, repeats, &mut measured).await?,
        limits::cost_of_partitions(stage, repeats, &mut measured).await?,
        reads::cold_over_tail(stage, repeats).await?,
        failover::p99(stage).await?,
    ];
    figures.extend(backlog::all(stage).await?);
    figures.extend(idle::all(stage, repeats).await?);
    Ok((figures, measured))
}
