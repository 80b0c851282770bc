//! One node at a time is killed under load, and comes back: nothing that was acknowledged is lost, changed or done
//! twice (P1, P2, P3, P6, P10, P13, P14).
//!
//! `WEIR_KILLS` says how often (default 10), `WEIR_SEED` repeats the choice of the nodes.

use weir_tests::{Cluster, Dice, Load, LoadOptions, Site};

/// Operations between a return and the next kill.
const BETWEEN: usize = 200;

fn kills() -> u32 {
    std::env::var("WEIR_KILLS").map_or(10, |text| text.parse().expect("WEIR_KILLS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_while_one_node_at_a_time_is_killed() {
    let seed = Dice::seed_from("WEIR_SEED");
    eprintln!("repeat with: WEIR_SEED={seed} WEIR_KILLS={} scripts/test --test kill_loop", kills());
    let mut dice = Dice::new(seed);
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let load = Load::start(&cluster, LoadOptions::default()).await;
    let mut figures = Vec::new();
    for round in 1..=kills() {
        load.flows(dice.below(BETWEEN as u64) as usize + 50).await;
        // Every third time the one that leads most: a follower's death is easy.
        let victim = if round % 3 == 0 {
            cluster.busiest(load.client()).await
        } else {
            dice.below(cluster.len() as u64) as usize
        };
        cluster.nodes()[victim].kill().await;
        let writable = load.writable().await;
        eprintln!(
            "kill {round}: {}, every partition writable after {} ms",
            cluster.nodes()[victim].name(),
            writable.as_millis()
        );
        figures.push(writable);
        load.flows(dice.below(BETWEEN as u64) as usize).await;
        cluster.nodes()[victim].start();
        cluster.whole(load.client()).await;
    }
    figures.sort_unstable();
    eprintln!(
        "every partition writable after a kill: median {} ms, longest {} ms",
        figures[figures.len() / 2].as_millis(),
        figures[figures.len() - 1].as_millis()
    );
    load.drain_and_check().await;
    cluster.check();
}
