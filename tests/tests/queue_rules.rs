//! Settings of queues that change what is taken in and handed out, with real processes and the real binary.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::Value;
use weir_client::WorkerOptions;
use weir_tests::{Cluster, Site, Weir};

/// What a command prints with `--json`.
async fn json(weir: &Weir, line: &str) -> Value {
    let out = weir.ok(&format!("{line} --json")).await;
    serde_json::from_str(&out)
        .unwrap_or_else(|error| panic!("`weir {line} --json` printed no JSON ({error}): {out}"))
}

async fn tokens(weir: &Weir, line: &str) -> Vec<String> {
    let received = json(weir, line).await;
    let messages = received["messages"].as_array().unwrap();
    messages.iter().map(|message| message["token"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_dead_letter_under_block_key_stops_its_key_for_consumers_and_producers_and_no_other() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    cluster.whole(&client).await;
    let weir = cluster.weir();
    let made = json(&weir, "topic create invoices --kind queue --fifo --park block_key --partitions 1").await;
    assert_eq!(made["settings"]["park"], "block_key", "{made}");
    weir.ok("queue send invoices --key ada first second").await;
    let token = tokens(&weir, "queue receive invoices --lease 1m").await.remove(0);
    weir.ok(&format!("queue nack {token} --park --reason 'no such account'")).await;

    weir.run("queue send invoices --key ada third").await.fails(7, "key-blocked");
    weir.ok("queue send invoices --key grace other").await;
    let explained = weir.ok("explain queue invoices --key ada").await;
    assert!(explained.contains("until 0/0 is redriven or discarded"), "{explained}");
    assert_eq!(json(&weir, "explain queue invoices --message 0/1").await["key_blocked_by"], 0);
    let received = json(&weir, "queue receive invoices --max 10 --ack").await;
    let values: Vec<_> = received["messages"].as_array().unwrap().iter().map(|it| &it["value"]).collect();
    assert_eq!(values, ["other"]);

    weir.ok("queue parked redrive invoices 0/0").await;
    weir.ok("queue send invoices --key ada third").await;
    let mut order = Vec::new();
    for _ in 0..3 {
        let received = json(&weir, "queue receive invoices --ack").await;
        order.push(received["messages"][0]["value"].as_str().unwrap().to_owned());
    }
    assert_eq!(order, ["first", "second", "third"]);

    let altered = json(&weir, "topic alter invoices --park park_key").await;
    assert_eq!(altered["settings"]["park"], "park_key", "{altered}");
    weir.ok("topic create bounces --kind queue --fifo --park-key --partitions 1").await;
    assert_eq!(json(&weir, "topic describe bounces").await["settings"]["park"], "park_key");
    cluster.check();
}

async fn leased(weir: &Weir, queue: &str) -> u64 {
    json(weir, &format!("queue stats {queue}")).await["total"]["leased"].as_u64().unwrap()
}

#[tokio::test]
async fn no_more_messages_are_leased_than_a_queue_and_its_sessions_may_have() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    cluster.whole(&client).await;
    let weir = cluster.weir();
    weir.ok("topic create slow --kind queue --partitions 1 --max-inflight 2").await;
    weir.ok("queue send slow a b c d e").await;
    let held = tokens(&weir, "queue receive slow --max 5 --lease 5m").await;
    assert_eq!((held.len(), leased(&weir, "slow").await), (2, 2));
    assert_eq!(json(&weir, "explain queue slow --message 0/2").await["hold"], "partition-limit");
    let text = weir.ok("explain queue slow --message 0/2").await;
    assert!(text.contains("as `--max-inflight` allows (2)"), "{text}");
    assert!(tokens(&weir, "queue receive slow").await.is_empty());
    // One who waits gets the next message when a lease ends.
    let ack = format!("queue ack {}", held[0]);
    let (waited, _) = tokio::join!(tokens(&weir, "queue receive slow --wait 20s --lease 5m"), weir.ok(&ack));
    assert_eq!((waited.len(), leased(&weir, "slow").await), (1, 2));
    weir.ok("topic alter slow --max-inflight unlimited").await;
    assert_eq!(tokens(&weir, "queue receive slow --max 5 --lease 5m").await.len(), 2);

    weir.ok("topic create calm --kind queue --partitions 1 --max-inflight-per-session 1").await;
    weir.ok("queue send calm a b c d e").await;
    let mut worker = client.queue_worker("calm", WorkerOptions::default()).await.unwrap();
    for left in (1..=5).rev() {
        let message = worker.next().await.unwrap().unwrap();
        assert_eq!(leased(&weir, "calm").await, 1, "{left} are left");
        if left > 1 {
            let next = 6 - left;
            let explained = json(&weir, &format!("explain queue calm --message 0/{next}")).await;
            assert_eq!(explained["hold"], "session-limit", "{explained}");
        }
        message.ack().await.unwrap();
    }
    worker.close().await.unwrap();
    weir.run("topic alter calm --max-inflight 2000000").await.fails(5, "invalid-policy");
    cluster.check();
}
