//! `bench-peers`: Weir and its peers on this machine, in one run, by one client program. See `scripts/bench-peers`.
//!
//! | module | holds |
//! |---|---|
//! | [`weir`], [`rabbitmq`], [`nats`] | how each is started, and how its clients publish and consume |
//! | [`process`], [`cluster`], [`stage`] | processes; three nodes; one cluster at a time |
//! | [`cell`], [`usage`] | one measurement, and what it cost by the kernel's counters |
//! | [`sweep`], [`compare`], [`figures`] | which cells, which comparisons, what is written down |
//! | [`own`] | what Weir is measured by alone |

#![expect(clippy::disallowed_types, reason = "a benchmark measures real time")]

mod cell;
mod cluster;
mod compare;
mod figures;
mod nats;
mod own;
mod process;
mod rabbitmq;
mod stage;
mod sweep;
mod usage;
mod weir;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use weir_bench::system::Error;

use cell::Length;
use stage::Stage;

/// Measures Weir and its peers in turn.
#[derive(Debug, Parser)]
struct Cli {
    /// The `weir` to measure: a release build
    #[arg(long, value_name = "PATH")]
    weir: PathBuf,
    /// Where `peers.json` is written
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Where the clusters' data lie; emptied before each cluster
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Short windows
    #[arg(long)]
    quick: bool,
    /// Only what Weir is measured by alone; no peer is started
    #[arg(long)]
    alone: bool,
    /// Interleaved repeats of every best cell
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    repeats: u32,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let cli = Cli::parse();
    let (warm_up, duration) = if cli.quick { (1, 3) } else { (3, 10) };
    let length = Length { warm_up: Duration::from_secs(warm_up), duration: Duration::from_secs(duration) };
    let mut stage = Stage::new(&cli.data, &cli.weir, length);
    std::fs::create_dir_all(&cli.out)?;
    let (figures, sweeps) = if cli.alone {
        compare::alone(&mut stage, cli.repeats).await?
    } else {
        compare::all(&mut stage, cli.repeats).await?
    };
    let write =
        |name: &str, value: &serde_json::Value| std::fs::write(cli.out.join(name), format!("{value:#}\n"));
    write("peers.json", &json!(figures))?;
    write("sweeps.json", &json!(sweeps))?;
    for figure in &figures {
        println!("{:<40} {:>8.2} {}", figure.id, figure.value, figure.unit);
    }
    Ok(())
}
