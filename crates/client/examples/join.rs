//! Joins two streams: orders and payments of the same number become one record when both are there, whichever came first.
//!
//! Two operators without state carry both streams into one, under the order's number, and say where each record came from.
//! The third remembers what has no counterpart yet.
//!
//! ```sh
//! weir dev &
//! cargo run -p weir-client --example join &
//! printf '17,two weirs\n18,a stone\n' | weir stream append orders --key-separator ,
//! printf '17,40 EUR\n' | weir stream append payments --key-separator ,
//! weir stream read paid-orders --follow                      # 17: two weirs, 40 EUR
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use tokio_util::sync::CancellationToken;
use weir_client::operator::{Flow, HandlerError, Operator, Step};
use weir_client::{Client, ErrorKind, NewTopic, Record, StreamRecord};

/// The header that says which stream a record came from.
const FROM: &str = "from";

fn carry(from: &'static str) -> Flow {
    Flow::to("orders-and-payments").map(move |record| record.header(FROM, from))
}

/// Waits for the counterpart, or joins with it.
fn join(record: &StreamRecord, step: &mut Step<'_>) -> Result<(), HandlerError> {
    let number = record.key.clone().ok_or("an order or payment has no number")?;
    let from =
        record.headers.iter().rfind(|header| header.name == FROM).ok_or("a record comes from nowhere")?;
    let is_order = &*from.value == b"order";
    let (mine, other) = if is_order { ("order/", "payment/") } else { ("payment/", "order/") };
    let value = record.value.clone().unwrap_or_default();
    let Some(counterpart) = step.remove(&[other.as_bytes(), &number].concat()) else {
        step.put(&[mine.as_bytes(), &number].concat(), value);
        return Ok(());
    };
    let (order, payment) = if is_order { (value, counterpart) } else { (counterpart, value) };
    let text = [&*number, b": ", &*order, b", ", &*payment].concat();
    step.emit("paid-orders", Record::new(text).key(number));
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seeds = std::env::var("WEIR_SEEDS").unwrap_or_else(|_| "127.0.0.1:7400".to_owned());
    let client = Client::connect(seeds).await?;
    for topic in ["orders", "payments", "orders-and-payments", "paid-orders"] {
        match client.admin().create_topic(NewTopic::stream(topic).partitions(3)).await {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    let stop = CancellationToken::new();
    let orders = Operator::new("carry-orders", "orders", carry("order"));
    let payments = Operator::new("carry-payments", "payments", carry("payment"));
    let joined = Operator::new("join-orders", "orders-and-payments", join);
    println!("joining; ctrl-c ends it");
    let (orders, payments, joined, ()) = tokio::join!(
        orders.run(&client, stop.clone()),
        payments.run(&client, stop.clone()),
        joined.run(&client, stop.clone()),
        async {
            let _ = tokio::signal::ctrl_c().await;
            stop.cancel();
        }
    );
    println!(
        "{} orders, {} payments, {} of both handled",
        orders?.records, payments?.records, joined?.records
    );
    Ok(())
}
