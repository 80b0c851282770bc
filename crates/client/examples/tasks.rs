//! A task queue whose results go to a stream: each task is acked together with its result.
//!
//! ```sh
//! weir dev &
//! cargo run -p weir-client --example tasks &
//! seq 40 44 | weir queue send numbers
//! weir stream read factorials --follow
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use weir_client::{Client, ErrorKind, Message, NewTopic, Record, WorkerOptions};

/// The factorial of the number in a message, if it is one and the result is not too large.
fn factorial(message: &Message) -> Option<u128> {
    let number: u128 = std::str::from_utf8(message.value.as_deref()?).ok()?.trim().parse().ok()?;
    (1..=number).try_fold(1_u128, u128::checked_mul)
}

async fn handle(message: Message) -> weir_client::Result<()> {
    match factorial(&message) {
        Some(result) => {
            let key = message.value.clone().unwrap_or_default();
            message.ack_and_append("factorials", [Record::new(result.to_string()).key(key)]).await
        }
        // It will never work: it is parked, and `weir queue parked list numbers` shows it with the reason.
        None => message.reject("no number, or too large a one").await,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seeds = std::env::var("WEIR_SEEDS").unwrap_or_else(|_| "127.0.0.1:7400".to_owned());
    let client = Client::connect(seeds).await?;
    for topic in [NewTopic::queue("numbers"), NewTopic::stream("factorials")] {
        match client.admin().create_topic(topic.partitions(3)).await {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    let mut worker = client.queue_worker("numbers", WorkerOptions::default()).await?;
    println!("working; ctrl-c ends it");
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            message = worker.next() => match message {
                Some(Ok(message)) => {
                    if let Err(error) = handle(message).await {
                        eprintln!("{error}");
                    }
                }
                Some(Err(error)) => eprintln!("{error}"),
                None => break,
            },
        }
    }
    worker.close().await?;
    Ok(())
}
