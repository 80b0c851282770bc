//! `weir dev`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use weir_server::{Config, DevCluster, DevOptions, telemetry};

use super::server::{asked_to_stop, cannot_start};
use crate::failure::{Failure, Outcome};

/// Run a throw-away cluster in this process
#[derive(Debug, Args)]
#[command(after_help = "\
Prints `weir dev: ready` and the addresses when it takes requests; Ctrl-C stops it.

Examples:
  weir dev
  weir dev --nodes 1 --data ./weir-data
  weir dev --port 0                                any free ports: for tests of other projects")]
pub(super) struct Dev {
    /// How many nodes: 1, 3 or 5
    #[arg(long, default_value_t = 3)]
    nodes: u32,
    /// Keep the data in this folder; without it they go when the cluster stops
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Client port of the first node; the others take the next free ones. 0 takes any
    #[arg(long, default_value_t = 7400)]
    port: u16,
    /// What is logged: a level, or a filter as in `weir_broker=debug,warn`
    #[arg(long, default_value = "warn")]
    log: String,
}

impl Dev {
    pub(super) async fn run(self) -> Outcome {
        if ![1, 3, 5].contains(&self.nodes) {
            return Err(Failure::usage(format!("--nodes is {}, not 1, 3 or 5", self.nodes)));
        }
        telemetry::start_logging(&Config { log_level: self.log.clone(), ..Config::default() });
        let scratch = Scratch::new(self.data)?;
        let options = DevOptions { nodes: self.nodes, data: scratch.path.clone(), port: self.port };
        let cluster = DevCluster::start(&options).await.map_err(cannot_start)?;
        let seeds = cluster.seeds().join(",");
        writeln!(std::io::stdout(), "weir dev: ready\nexport WEIR_SEEDS={seeds}")?;
        cluster.run_until(asked_to_stop()).await?;
        Ok(())
    }
}

/// Where the data lie; removed at the end unless the user named it.
struct Scratch {
    path: PathBuf,
    throw_away: bool,
}

impl Scratch {
    fn new(named: Option<PathBuf>) -> Result<Self, Failure> {
        let throw_away = named.is_none();
        let path =
            named.unwrap_or_else(|| std::env::temp_dir().join(format!("weir-dev-{}", std::process::id())));
        std::fs::create_dir_all(&path).map_err(|error| {
            Failure::operation("data-dir-unusable", format!("{}: {error}", path.display()))
        })?;
        Ok(Self { path, throw_away })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.throw_away {
            // What is left behind is in the system's temporary folder.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
