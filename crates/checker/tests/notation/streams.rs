//! Histories of streams and their groups in a few characters per operation, for tests.
//!
//! ```text
//! 0-10 p1 append 0@5 1-0 1-1 key=a      offset 5 of partition 0 on; ? instead of the place: nobody was told
//! 0-10 p1 append? ? 1-0                 append? nobody knows, append! refused, !! out of range
//! 0-10 c1 poll 0@5 1-0 1-1              asked for offset 5 of partition 0; records from there on
//! 0-10 c1 poll 0@5 7:1-0 ?              records from offset 7 on; ? is one that nobody made
//! 0-10 c1 poll 0@5 e3 1-0               as a member of the group, under epoch 3
//! 0-10 c1 pair 1-9                      a message acked and a record appended, in one step
//! 0-10 c1 bounds 0 5..7
//! 0-10 digest n1 0 applied=9 hash=x 5..7
//! 0-10 c1 assign e3 0 1                 partitions 0 and 1
//! 0-10 c1 commit e3 0@5
//! 0-10 c1 step e3 0@2..5 1-9            a commit of 5 from 2 on, and a record; 0@none..5 is the first
//! 0-10 c1 position 0@5                  or 0@none
//! 0-0 reshaped 0 to 1 2                 or reshaped 0 1 to 2
//! 0-0 phase end
//! ```
//!
//! Times are milliseconds, and `0-` never ends; `cN` is process and consumer N, `pN` process 100 + N. The stream is `s`,
//! the group `g`. Lines that begin with `--` are remarks.

use weir_checker::{Consumer, Digested, Event, MessageId, Op, Outcome, Phase, Process};

const STREAM: &str = "s";
const GROUP: &str = "g";

/// Reads a history.
///
/// # Panics
/// When a line is not in the notation.
pub(crate) fn history(text: &str) -> Vec<Event> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--"));
    lines.map(|line| event(line).unwrap_or_else(|| panic!("not in the notation: {line}"))).collect()
}

fn event(line: &str) -> Option<Event> {
    let mut words = line.split_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let from = from.parse::<u64>().ok()? * 1_000;
    let to = if to.is_empty() { None } else { Some(to.parse::<u64>().ok()? * 1_000) };
    let mut word = words.next()?;
    let mut process = 0;
    let client = |word: &str, letter| word.strip_prefix(letter).and_then(|number| number.parse::<u32>().ok());
    if let Some(number) = client(word, 'c').or_else(|| client(word, 'p').map(|number| number + 100)) {
        process = number;
        word = words.next()?;
    }
    let name = word.trim_end_matches(['?', '!']);
    let (outcome, error) = match &word[name.len()..] {
        "" => (Outcome::Ok, None),
        "?" => (Outcome::Info, Some("client-timeout: no answer in time")),
        "!!" => (Outcome::Fail, Some("offset-out-of-range: trimmed")),
        _ => (Outcome::Fail, Some("not-leader: ask another node")),
    };
    let op = op(name, Consumer(process), &words.collect::<Vec<_>>())?;
    Some(Event {
        from,
        to,
        process: Process(process),
        node: None,
        op,
        outcome,
        error: error.map(str::to_owned),
    })
}

fn op(name: &str, consumer: Consumer, words: &[&str]) -> Option<Op> {
    let (topic, group) = (STREAM.to_owned(), GROUP.to_owned());
    Some(match name {
        "append" => append(words)?,
        "poll" => poll(consumer, words)?,
        "pair" => Op::AckAndAppend {
            queue: "q".to_owned(),
            consumer,
            message: MessageId { partition: 0, id: 0 },
            lease: 1,
            stream: topic,
            value: words.first()?.parse().ok()?,
        },
        "bounds" => {
            let (start, end) = bounds(words.get(1)?)?;
            Op::Bounds { topic, partition: words.first()?.parse().ok()?, start, end }
        }
        "digest" => Op::Digest(Digested {
            node: (*words.first()?).to_owned(),
            topic,
            partition: words.get(1)?.parse().ok()?,
            applied: words.get(2)?.strip_prefix("applied=")?.parse().ok()?,
            hash: words.get(3)?.strip_prefix("hash=")?.to_owned(),
            messages: Vec::new(),
            bounds: Some(bounds(words.get(4)?)?),
        }),
        "assign" => {
            let partitions = words[1..].iter().map(|word| word.parse().ok()).collect::<Option<_>>()?;
            Op::Assign { group, topic, consumer, epoch: epoch(words.first()?)?, partitions }
        }
        "commit" => {
            let (partition, offset) = at(words.get(1)?)?;
            Op::Commit { group, topic, consumer, epoch: epoch(words.first()?)?, partition, offset }
        }
        "step" => {
            let (partition, places) = words.get(1)?.split_once('@')?;
            let (from, offset) = places.split_once("..")?;
            Op::CommitAndAppend {
                group,
                topic: topic.clone(),
                consumer,
                epoch: epoch(words.first()?)?,
                partition: partition.parse().ok()?,
                from: if from == "none" { None } else { Some(from.parse().ok()?) },
                offset: offset.parse().ok()?,
                stream: topic,
                value: words.get(2)?.parse().ok()?,
            }
        }
        "position" => {
            let (partition, offset) = words.first()?.split_once('@')?;
            let offset = if offset == "none" { None } else { Some(offset.parse().ok()?) };
            Op::Position { group, topic, partition: partition.parse().ok()?, offset }
        }
        "reshaped" => reshaped(topic, words)?,
        "phase" => Op::Phase(match *words.first()? {
            "end" => Phase::End,
            _ => return None,
        }),
        _ => return None,
    })
}

fn append(words: &[&str]) -> Option<Op> {
    let (place, values) = words.split_first()?;
    let at = if *place == "?" { None } else { Some(at(place)?) };
    let key = values.last().and_then(|word| word.strip_prefix("key=")).map(str::to_owned);
    let values = &values[..values.len() - usize::from(key.is_some())];
    let values = values.iter().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    Some(Op::Append { topic: STREAM.to_owned(), values, key, at })
}

fn poll(consumer: Consumer, words: &[&str]) -> Option<Op> {
    let (place, mut values) = words.split_first()?;
    let (partition, offset) = at(place)?;
    let mut group = None;
    if let Some(epoch) = values.first().and_then(|word| epoch(word)) {
        group = Some((GROUP.to_owned(), epoch));
        values = &values[1..];
    }
    let (mut next, mut records) = (offset, Vec::new());
    for word in values {
        let (at, payload) = word.split_once(':').unwrap_or(("", word));
        let offset = if at.is_empty() { next } else { at.parse().ok()? };
        // `?` is a payload that nobody made.
        records.push((offset, if payload == "?" { None } else { Some(payload.parse().ok()?) }));
        next = offset + 1;
    }
    Some(Op::Poll { topic: STREAM.to_owned(), consumer, group, partition, offset, records })
}

fn reshaped(topic: String, words: &[&str]) -> Option<Op> {
    let place = words.iter().position(|word| *word == "to")?;
    let numbers = |words: &[&str]| words.iter().map(|word| word.parse().ok()).collect::<Option<Vec<u32>>>();
    Some(Op::Reshaped { topic, parents: numbers(&words[..place])?, children: numbers(&words[place + 1..])? })
}

fn at(word: &str) -> Option<(u32, u64)> {
    let (partition, offset) = word.split_once('@')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

fn bounds(word: &str) -> Option<(u64, u64)> {
    let (start, end) = word.split_once("..")?;
    Some((start.parse().ok()?, end.parse().ok()?))
}

fn epoch(word: &str) -> Option<u64> {
    word.strip_prefix('e')?.parse().ok()
}
