//! Tenants share a queue: one that has sent very much does not keep the others waiting, while the leader is killed too.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use weir_client::{Client, LeasedMessage, ProducerOptions, ReceiveOptions, Record, Settle, SettleAction};
use weir_tests::{Cluster, Site, Weir, eventually};

const QUEUE: &str = "jobs";
const MANY: u64 = 20_000;
const FEW: u64 = 50;
const LATE: [&str; 2] = ["late", "later"];
/// Each tenant gets every third turn while it has messages; the rest is for answers that are lost with a leader.
const GRANTS_MAX: usize = 3 * FEW as usize + 30;

/// What a command prints with `--json`.
async fn json(weir: &Weir, line: &str) -> Value {
    let out = weir.ok(&format!("{line} --json")).await;
    serde_json::from_str(&out)
        .unwrap_or_else(|error| panic!("`weir {line} --json` printed no JSON ({error}): {out}"))
}

/// Messages of one tenant, numbered from 0, over so many keys.
async fn send(client: &Client, tenant: &str, count: u64, keys: u64) {
    let producer = client.producer(QUEUE, ProducerOptions::default()).await.unwrap();
    let mut last = None;
    for number in 0..count {
        let record = Record::new(number.to_string()).key(format!("{tenant}-{}", number % keys));
        last = Some(producer.send(record.header("customer", tenant.to_owned())).await.unwrap());
    }
    last.unwrap().await.unwrap();
    producer.close().await;
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap()
}

/// What was handled, in order.
#[derive(Default)]
struct Handled {
    /// Tenant and message id.
    grants: Vec<(String, u64)>,
    done: BTreeMap<String, BTreeSet<u64>>,
    /// The last number of each key.
    keys: BTreeMap<String, u64>,
}

impl Handled {
    /// Receives a few messages and acks them.
    async fn some(&mut self, client: &Client, in_order: bool) {
        let options =
            ReceiveOptions { max_messages: 5, wait: Duration::from_secs(10), ..ReceiveOptions::default() };
        let messages = eventually("a receive", Duration::from_mins(1), async || {
            client.receive(QUEUE, options).await.map_err(|error| error.to_string())
        })
        .await;
        let acks: Vec<Settle> =
            messages.iter().map(|it| Settle { token: it.token, action: SettleAction::Ack }).collect();
        for message in &messages {
            self.note(message, in_order);
        }
        for outcome in client.settle(&acks).await {
            outcome.unwrap();
        }
    }

    fn note(&mut self, message: &LeasedMessage, in_order: bool) {
        let tenant = text(message.header("customer"));
        let (key, number) = (text(message.key.as_deref()), text(message.value.as_deref()).parse().unwrap());
        if in_order {
            let last = self.keys.insert(key.clone(), number);
            assert!(last.is_none_or(|last| last < number), "key {key}: {number} comes after {last:?}");
        }
        self.grants.push((tenant.clone(), message.message_id));
        assert!(self.done.entry(tenant).or_default().insert(number), "P2: {message:?} was handled before");
    }

    fn late_ones(&self) -> usize {
        LATE.iter().filter_map(|tenant| self.done.get(*tenant)).map(BTreeSet::len).sum()
    }
}

/// The node that leads the queue's only partition.
async fn leader(cluster: &mut Cluster, client: &Client) -> usize {
    let status = cluster.whole(client).await;
    let described = client.admin().describe_topic(QUEUE).await.unwrap();
    cluster.index_of(&status, described.partitions[0].leader.unwrap())
}

/// Replicas that have applied as much hold the same (P12).
async fn same_on_all(cluster: &mut Cluster, client: &Client, weir: &Weir) {
    cluster.caught_up(client).await;
    eventually("equal replicas", Duration::from_mins(1), async || {
        let digest = json(weir, &format!("cluster digest --topic {QUEUE}")).await;
        let replicas = digest["replicas"].as_array().unwrap();
        assert!(replicas.iter().all(|replica| replica["differs"] == false), "P12: {digest}");
        let hashes: BTreeSet<_> = replicas.iter().map(|replica| replica["hash"].as_str()).collect();
        if replicas.len() == 3 && hashes.len() == 1 { Ok(()) } else { Err(digest.to_string()) }
    })
    .await;
}

async fn late_tenants_are_served(order: &str, keys: u64) {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    cluster.whole(&client).await;
    let weir = cluster.weir();
    let made =
        json(&weir, &format!("topic create {QUEUE} --kind queue --partitions 1 --fair-by customer {order}"))
            .await;
    assert_eq!(made["settings"]["fair_by"], "customer", "{made}");
    send(&client, "early", MANY, keys * 20).await;
    for tenant in LATE {
        send(&client, tenant, FEW, keys).await;
    }
    let in_order = !order.is_empty();
    let mut handled = Handled::default();
    while handled.grants.len() < FEW as usize {
        handled.some(&client, in_order).await;
    }
    // The turns go on under another leader, where they were.
    let victim = leader(&mut cluster, &client).await;
    cluster.nodes()[victim].kill().await;
    while handled.late_ones() < LATE.len() * FEW as usize && handled.grants.len() < GRANTS_MAX {
        handled.some(&client, in_order).await;
    }
    let grants: Vec<_> = handled.grants.iter().map(|(tenant, _)| tenant.as_str()).collect();
    eprintln!("{} grants until {} messages of late tenants were done", grants.len(), handled.late_ones());
    assert_eq!(handled.late_ones(), LATE.len() * FEW as usize, "after {} grants: {grants:?}", grants.len());

    cluster.nodes()[victim].start();
    same_on_all(&mut cluster, &client, &weir).await;
    let explained = weir.ok(&format!("explain queue {QUEUE} --message 0/{}", MANY - 1)).await;
    assert_eq!(explained.contains("Tenants take turns"), order.is_empty(), "{explained}");
    let altered = json(&weir, &format!("topic alter {QUEUE} --fair-by none")).await;
    assert_eq!(altered["settings"]["fair_by"], Value::Null, "{altered}");
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_that_come_late_get_their_turns_whatever_another_one_has_sent() {
    late_tenants_are_served("", 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_that_come_late_get_their_turns_in_a_fifo_queue_too_and_keys_keep_their_order() {
    late_tenants_are_served("--fifo", 10).await;
}
