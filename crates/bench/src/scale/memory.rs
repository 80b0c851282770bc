//! The memory of the nodes' processes, as their metrics tell it.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::{Figure, Stage, figure};
use crate::system::Error;

const GAUGE: &str = "process_resident_memory_bytes ";

/// Megabytes (10^6 bytes) of the largest node's process.
pub(super) async fn of(stage: &Stage) -> Result<f64, Error> {
    let status = stage.client.admin().cluster_status().await?;
    let mut largest = 0.0_f64;
    for node in status.nodes.iter().filter(|node| node.alive) {
        largest = largest.max(resident(&node.http_address).await? / 1e6);
    }
    Ok(largest)
}

/// What `count` things take in a node, given what its process took before.
pub(super) async fn figures(
    stage: &Stage,
    before: f64,
    count: u64,
    what: &str,
) -> Result<[Figure; 3], Error> {
    let after = of(stage).await?;
    Ok([
        figure("memory of a node before", before, "MB"),
        figure(format!("memory of a node with {what}"), after, "MB"),
        figure(format!("memory of a node per one of {what}"), (after - before) * 1e6 / count as f64, "bytes"),
    ])
}

async fn resident(address: &str) -> Result<f64, Error> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.get(format!("http://{address}/metrics").parse()?).await?;
    let page = answer.into_body().collect().await?.to_bytes();
    let page = std::str::from_utf8(&page)?;
    let line = page.lines().find_map(|line| line.strip_prefix(GAUGE));
    let value = line.ok_or_else(|| format!("{address} does not tell its memory"))?;
    Ok(value.parse()?)
}
