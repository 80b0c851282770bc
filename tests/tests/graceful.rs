//! Nodes stop in order, one after the other, under load: they hand over first, and a client that repeats sees no
//! error.

use weir_tests::{Cluster, Load, LoadOptions, Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_call_that_retries() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let load = Load::start(&cluster, LoadOptions { careless: false, ..LoadOptions::default() }).await;
    for index in 0..cluster.len() {
        load.flows(300).await;
        cluster.nodes()[index].stop().await;
        load.flows(300).await;
        cluster.nodes()[index].start();
        cluster.caught_up(load.client()).await;
    }
    // The one that leads most hands most over.
    let busiest = cluster.busiest(load.client()).await;
    cluster.nodes()[busiest].stop().await;
    load.flows(300).await;
    cluster.nodes()[busiest].start();
    let troubles = load.drain_and_check().await.troubles();
    assert!(troubles.is_empty(), "{} errors: {:#?}", troubles.len(), &troubles[..troubles.len().min(10)]);
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stands_still_for_a_while_loses_nothing() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let load = Load::start(&cluster, LoadOptions::default()).await;
    load.flows(300).await;
    let victim = cluster.busiest(load.client()).await;
    cluster.nodes()[victim].pause();
    load.writable().await;
    load.flows(300).await;
    // The old leader wakes, and must serve nothing that it no longer leads.
    cluster.nodes()[victim].go_on();
    load.flows(300).await;
    cluster.whole(load.client()).await;
    load.drain_and_check().await;
    cluster.check();
}
