//! Logs and metrics of the process.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Pause between two drains of the histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts logging to standard error. Does nothing when it was started before in this process.
pub fn start_logging(config: &Config) {
    let filter = EnvFilter::try_new(filter(&config.log_level)).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Another logger in this process (a test's, say) is as good.
    let _ = match config.log_format {
        LogFormat::Text => builder.try_init().map_err(|_| ()),
        LogFormat::Json => builder.json().try_init().map_err(|_| ()),
    };
}

/// Every group's core talks of each vote and each refused message; whoever wants to hear that says so.
fn filter(level: &str) -> String {
    if level.contains("openraft") { level.to_owned() } else { format!("{level},openraft=error") }
}

/// Drains what the metrics gather, at the pace of their exporter, for as long as it runs: else histograms that nobody
/// asks for would grow without end.
pub(crate) async fn keep_up() {
    let Some(handle) = metrics() else { return };
    loop {
        handle.run_upkeep();
        tokio::time::sleep(UPKEEP).await;
    }
}

/// The page that Prometheus asks for, with what the process takes at this moment.
pub(crate) fn page() -> Option<String> {
    let handle = metrics()?;
    Collector::default().collect();
    Some(handle.render())
}

/// The metrics of this process, in Prometheus' text format.
pub(crate) fn metrics() -> Option<PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE.get_or_init(|| PrometheusBuilder::new().install_recorder().ok()).clone()
}
