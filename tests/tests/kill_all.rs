//! All nodes are killed at once under load, and come back: what was acknowledged is on disk.
//!
//! `WEIR_ROUNDS` says how often (default 4).

use weir_tests::{Cluster, Load, LoadOptions, Site};

fn rounds() -> u32 {
    std::env::var("WEIR_ROUNDS").map_or(4, |text| text.parse().expect("WEIR_ROUNDS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_all_nodes_are_killed_at_once() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let load = Load::start(&cluster, LoadOptions::default()).await;
    for round in 1..=rounds() {
        load.flows(600).await;
        cluster.kill_all().await;
        cluster.start_all();
        let writable = load.writable().await;
        eprintln!("round {round}: every partition writable {} ms after the restart", writable.as_millis());
        cluster.whole(load.client()).await;
    }
    load.drain_and_check().await;
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_node_keeps_what_it_acknowledged() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 1).await;
    let load = Load::start(&cluster, LoadOptions { replicas: 1, ..LoadOptions::default() }).await;
    for _ in 1..=rounds() {
        load.flows(400).await;
        cluster.kill_all().await;
        cluster.start_all();
    }
    load.drain_and_check().await;
    cluster.check();
}
