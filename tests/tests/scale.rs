//! The scenarios of `weir bench scale`, with few instead of very many.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::Value;
use weir_tests::{Cluster, Site};

/// Scenario, how many, and a figure that it must have.
const SCENARIOS: [(&str, u64, &str); 6] = [
    ("scheduled", 500, "delivered after their time, p99"),
    ("hot-key", 2_000, "beside it ÷ without it"),
    ("leased", 3_000, "messages acked"),
    ("producers", 50, "memory of a node per one of producers with a message"),
    ("groups", 3, "answer with a group's lag"),
    ("members", 3, "longest wait of any other partition"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_of_scale_is_played_and_leaves_nothing_behind() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let weir = cluster.weir();
    for (scenario, count, expected) in SCENARIOS {
        let line = format!("bench scale {scenario} --count {count}");
        let printed = weir.ok(&format!("{line} --json")).await;
        let figures: Value = serde_json::from_str(&printed).unwrap();
        let figures = figures["figures"].as_array().unwrap();
        let found = figures.iter().find(|figure| figure["name"] == expected);
        let value = found.and_then(|figure| figure["value"].as_f64());
        assert!(value.is_some_and(f64::is_finite), "{line}: {printed}");
    }
    let left = weir.ok("topic list --json").await;
    assert!(!left.contains("bench-scale"), "{left}");
    cluster.check();
}
