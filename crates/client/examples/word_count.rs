//! Counts words: one operator cuts lines into words, another counts them. Kill it whenever you like, and start it again, or
//! start several: no word is counted twice, and none is missing.
//!
//! ```sh
//! weir dev &                                     # or any cluster: WEIR_SEEDS=host:7400
//! cargo run -p weir-client --example word_count &
//! weir stream append lines --file README.md
//! weir stream read word-counts --follow
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use tokio_util::sync::CancellationToken;
use weir_client::operator::{Flow, HandlerError, Operator, Step};
use weir_client::{Client, ErrorKind, NewTopic, Record, StreamRecord};

/// Every word under itself as its key, so that all of its occurrences meet in one partition.
fn split(line: Record) -> Vec<Record> {
    let text = String::from_utf8_lossy(&line.value.unwrap_or_default()).to_lowercase();
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| Record::new(word.to_owned()).key(word.to_owned())).collect()
}

/// How often a word came so far.
fn count(word: &StreamRecord, step: &mut Step<'_>) -> Result<(), HandlerError> {
    let key = word.key.clone().unwrap_or_default();
    let before: u64 = match step.get(&key) {
        Some(count) => std::str::from_utf8(&count)?.parse()?,
        None => 0,
    };
    let count = (before + 1).to_string();
    step.put(&key, count.clone());
    step.emit("word-counts", Record::new(format!("{} {count}", String::from_utf8_lossy(&key))).key(key));
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seeds = std::env::var("WEIR_SEEDS").unwrap_or_else(|_| "127.0.0.1:7400".to_owned());
    let client = Client::connect(seeds).await?;
    for topic in ["lines", "words", "word-counts"] {
        match client.admin().create_topic(NewTopic::stream(topic).partitions(3)).await {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    let stop = CancellationToken::new();
    let (splitting, counting) = (
        Operator::new("split", "lines", Flow::to("words").flat_map(split)),
        Operator::new("count", "words", count),
    );
    println!("counting; ctrl-c ends it");
    let (split, counted, ()) =
        tokio::join!(splitting.run(&client, stop.clone()), counting.run(&client, stop.clone()), async {
            let _ = tokio::signal::ctrl_c().await;
            stop.cancel();
        });
    println!("{} lines, {} words", split?.records, counted?.records);
    Ok(())
}
