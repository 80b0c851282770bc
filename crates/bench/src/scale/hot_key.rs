//! One FIFO key with very many messages, the first of which is held, beside other keys: what the others lose by it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_client::{Client, ProducerOptions, ReceiveOptions, Record, Settle, SettleAction};

use super::{Figure, Stage, figure, memory, publish, rate};
use crate::load::{self, Observer};
use crate::plan::Plan;
use crate::system::{Error, Publisher, System};
use crate::weir::{Confirm, Queue, Topic, Worker};

const BODY: [u8; 100] = [b'.'; 100];
/// The other keys.
const KEYS: u64 = 10_000;
/// Long enough for all of it.
const HELD: Duration = Duration::from_hours(1);

pub(super) async fn play(stage: &Stage, count: u64) -> Result<Vec<Figure>, Error> {
    stage.tell("other keys alone");
    let without = others(stage).await?;
    let before = memory::of(stage).await?;
    let took = publish::all(stage, count, |_| Record::new(&BODY[..]).key("hot")).await?;
    let options = ReceiveOptions {
        max_messages: 1,
        wait: Duration::from_secs(10),
        lease: Some(HELD),
        ..ReceiveOptions::default()
    };
    let held = stage.client.receive(&stage.topic, options).await?;
    let [first] = &held[..] else { return Err("the hot key hands out no message".into()) };
    let mut figures = vec![rate("messages of the hot key sent", count, took)];
    figures.extend(memory::figures(stage, before, count, "waiting messages of one key").await?);
    stage.tell("other keys beside it");
    let with = others(stage).await?;
    let back = Settle { token: first.token, action: SettleAction::Release };
    stage.client.settle(&[back]).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    figures.push(figure(format!("{KEYS} other keys, without it"), without, "per second"));
    figures.push(figure(format!("{KEYS} other keys, beside it"), with, "per second"));
    figures.push(figure("beside it ÷ without it", with / without, "ratio"));
    Ok(figures)
}

/// Messages of many keys per second, from publish to ack.
async fn others(stage: &Stage) -> Result<f64, Error> {
    let topic = Topic {
        options: stage.options.clone(),
        name: stage.topic.clone(),
        partitions: 1,
        codec: weir_client::Codec::None,
        credit: None,
    };
    let plan = Plan {
        size: BODY.len(),
        publishers: 1,
        consumers: 3,
        in_flight: 4_096,
        rate: None,
        warm_up: Duration::from_secs(2),
        duration: Duration::from_secs(10),
        patience: Duration::from_secs(15),
    };
    let run = stage.options.runtime.random_u64();
    let report = load::run(Arc::new(Keyed(topic)), &plan, run, Arc::new(Silent)).await?;
    if !report.is_sound() {
        return Err(format!("the load has no figures: {:?}", report.balance).into());
    }
    Ok(report.rate())
}

struct Silent;

impl Observer for Silent {}

/// A queue whose messages have one of many keys each.
struct Keyed(Topic);

struct KeyedPublisher {
    producer: weir_client::Producer,
    sent: u64,
}

impl System for Keyed {
    type Publisher = KeyedPublisher;
    type Consumer = Worker;

    fn consumers_min(&self) -> u32 {
        1
    }

    async fn publisher(&self, _: u32) -> Result<KeyedPublisher, Error> {
        let client = Client::connect(self.0.options.clone()).await?;
        let producer = client.producer(&self.0.name, ProducerOptions::default()).await?;
        Ok(KeyedPublisher { producer, sent: 0 })
    }

    async fn consumer(&self, place: u32, of: u32) -> Result<Worker, Error> {
        Queue(self.0.clone()).consumer(place, of).await
    }
}

impl Publisher for KeyedPublisher {
    type Confirm = Confirm;

    async fn publish(&mut self, body: Bytes) -> Result<Confirm, Error> {
        let key = format!("key {}", self.sent % KEYS);
        self.sent += 1;
        Ok(Confirm(self.producer.send(Record::new(body).key(key)).await?))
    }

    async fn close(self) {
        self.producer.close().await;
    }
}
