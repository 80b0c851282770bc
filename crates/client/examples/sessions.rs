//! Visits from an access log: the requests of one address without a pause of half an hour are one visit.
//!
//! Lines are in the common log format, as web servers write them; event time is the time in the line.
//!
//! ```sh
//! weir dev &
//! cargo run -p weir-client --example sessions < access.log &
//! weir stream read visits --follow
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_util::sync::CancellationToken;
use weir_client::operator::{
    Aggregator, HandlerError, Operator, OperatorOptions, Step, Window, Windowed, Windows,
};
use weir_client::{Client, ErrorKind, NewTopic, ProducerOptions, Record, StreamRecord};

/// The longest pause inside a visit.
const PAUSE: Duration = Duration::from_mins(30);
/// How much later than others a line may be written.
const OUT_OF_ORDER: Duration = Duration::from_mins(1);

/// What is remembered of a visit.
#[derive(Default, Serialize, Deserialize)]
struct Visit {
    requests: u64,
    bytes: u64,
}

struct Visits;

impl Aggregator for Visits {
    type Value = Visit;

    fn add(&self, visit: &mut Visit, line: &StreamRecord) {
        visit.requests += 1;
        let text = String::from_utf8_lossy(line.value.as_deref().unwrap_or_default());
        visit.bytes += text.rsplit(' ').next().and_then(|bytes| bytes.parse::<u64>().ok()).unwrap_or(0);
    }

    fn merge(&self, earlier: &mut Visit, later: Visit) {
        earlier.requests += later.requests;
        earlier.bytes += later.bytes;
    }

    fn finish(
        &self,
        address: &[u8],
        window: Window,
        visit: Visit,
        step: &mut Step<'_>,
    ) -> Result<(), HandlerError> {
        let address = std::str::from_utf8(address)?;
        let seconds = (window.end_ms - window.start_ms).saturating_sub(PAUSE.as_millis() as u64) / 1_000;
        let text = format!("{address}: {} requests in {seconds} s, {} bytes", visit.requests, visit.bytes);
        step.emit("visits", Record::new(text).key(address.to_owned()));
        Ok(())
    }
}

/// The address and the time of a line: `1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "GET / HTTP/1.1" 200 23`.
fn parse(line: &str) -> Option<(String, u64)> {
    let address = line.split(' ').next()?;
    let time = line.split_once('[')?.1.split_once(']')?.0;
    let (day, rest) = time.split_once('/')?;
    let (month, rest) = rest.split_once('/')?;
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| *name == month)? + 1;
    let numbers: Vec<u64> = rest.split([':', ' ']).take(4).filter_map(|number| number.parse().ok()).collect();
    let [year, hours, minutes, seconds] = numbers[..] else { return None };
    let (day, month) = (day.parse::<u64>().ok()?, month as u64);
    // Days since the Unix epoch, of a calendar whose year begins in March (H. Hinnant, chrono-compatible low-level date
    // algorithms). The zone is left alone: a log has one.
    let (year, month) = if month <= 2 { (year.checked_sub(1)?, month + 9) } else { (year, month - 3) };
    let of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
    let days = (year * 365 + year / 4 - year / 100 + year / 400 + of_year).checked_sub(719_468)?;
    Some((address.to_owned(), (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seeds = std::env::var("WEIR_SEEDS").unwrap_or_else(|_| "127.0.0.1:7400".to_owned());
    let client = Client::connect(seeds).await?;
    for topic in ["requests", "visits"] {
        match client.admin().create_topic(NewTopic::stream(topic).partitions(3)).await {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    let stop = CancellationToken::new();
    let options = OperatorOptions { out_of_order: OUT_OF_ORDER, ..OperatorOptions::default() };
    let visits = Windowed::new(Windows::session(PAUSE), Visits);
    let operator = Operator::new("visits-of-addresses", "requests", visits).options(options);
    let feed = async {
        let producer = client.producer("requests", ProducerOptions::default()).await?;
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            let Some((address, time_ms)) = parse(&line) else { continue };
            drop(producer.send(Record::new(line).key(address).timestamp_ms(time_ms)).await?);
        }
        producer.close().await;
        println!("the log is in; ctrl-c ends it");
        let _ = tokio::signal::ctrl_c().await;
        stop.cancel();
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    let (report, fed) = tokio::join!(operator.run(&client, stop.clone()), feed);
    println!("{} requests", report?.records);
    fed
}
