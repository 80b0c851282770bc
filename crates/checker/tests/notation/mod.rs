//! Histories in a few characters per operation, for tests.
//!
//! ```text
//! 0-10 p1 enqueue 1-0 @0:7 key=a due=500 ttl=900 class=3
//! 12-20 c1 receive 0:7=1-0#1/1+5000 0:8=?#2/1     message=payload#lease/attempt+milliseconds held
//! 21-30 c1 ack 0:7#1                              or nack, release, reject; extend 0:7#1 5000
//! 21-30 c1 ack? 0:7#1                             ? nobody knows, ! refused, !! refused: lease-lost
//! 21- c1 ack? 0:7#1                               it may yet happen
//! 31-32 c1 pair 0:7#1 1-9                         ack and append to the stream, in one step
//! 33-34 c1 close
//! 33-34 admin parked 0:7=1-0/16                   or redrive 0:7, discard 0:7, cancel 0:7, purge
//! 35-36 c1 poll 0 @5 1-9 1-10                     offsets 5 and 6 of partition 0
//! 35-36 c1 bounds 0 5..7
//! 37-38 digest n1 0 applied=9 hash=x 7=ready      or leased, parked
//! 39-39 reshaped 0 to 1 2                         or reshaped 0 1 to 2
//! 39-39 phase end
//! ```
//!
//! Times are milliseconds; the queue is `q`, the stream `s`; `cN` is process and consumer N, `pN` process 100 + N. Lines
//! that begin with `--` are remarks.

use weir_checker::{
    Consumer, Delivery, Digested, Event, How, MessageId, MessageState, NotAPair, Op, Outcome, ParkedMessage,
    Phase, Process, Terms, Value,
};

/// The queue and the stream.
pub(crate) const QUEUE: &str = "q";
const STREAM: &str = "s";

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
    let (mut process, mut consumer) = (0, Consumer(0));
    if let Some(number) = word.strip_prefix('c').and_then(|number| number.parse().ok()) {
        (process, consumer) = (number, Consumer(number));
        word = words.next()?;
    } else if let Some(number) = word.strip_prefix('p').and_then(|number| number.parse::<u32>().ok()) {
        process = 100 + number;
        word = words.next()?;
    } else if word == "admin" {
        word = words.next()?;
    }
    let name = word.trim_end_matches(['?', '!']);
    let (outcome, error) = match &word[name.len()..] {
        "" => (Outcome::Ok, None),
        "?" => (Outcome::Info, Some("client-timeout: no answer in time")),
        "!" => (Outcome::Fail, Some("throttled: not now")),
        "!!" => (Outcome::Fail, Some("lease-lost: the message has another lease")),
        _ => return None,
    };
    let op = op(name, consumer, &words.collect::<Vec<_>>())?;
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
    let topic = QUEUE.to_owned();
    Some(match name {
        "enqueue" => enqueue(words)?,
        "receive" => {
            let deliveries = words.iter().map(|word| delivery(word)).collect::<Option<_>>()?;
            Op::Receive { topic, consumer, deliveries }
        }
        "ack" | "nack" | "release" | "reject" | "extend" => {
            let (message, lease) = lease(words.first()?)?;
            let how = match name {
                "ack" => How::Ack,
                "nack" => How::Nack,
                "release" => How::Release,
                "reject" => How::Reject,
                _ => How::Extend(words.get(1)?.parse::<u64>().ok()? * 1_000),
            };
            Op::Settle { topic, consumer, message, lease, how }
        }
        "pair" => {
            let (message, lease) = lease(words.first()?)?;
            let value = words.get(1)?.parse().ok()?;
            Op::AckAndAppend { queue: topic, consumer, message, lease, stream: STREAM.to_owned(), value }
        }
        "close" => Op::CloseSession { topic, consumer },
        "parked" => {
            let messages = words.iter().map(|word| parked(word)).collect::<Option<_>>()?;
            Op::ListParked { topic, messages }
        }
        "redrive" => Op::Redrive { topic, messages: ids(words)? },
        "discard" => Op::Discard { topic, messages: ids(words)? },
        "cancel" => Op::Cancel { topic, message: words.first()?.parse().ok()? },
        "purge" => Op::Purge { topic },
        "poll" => poll(consumer, words)?,
        "bounds" => {
            let (start, end) = words.get(1)?.split_once("..")?;
            let (start, end) = (start.parse().ok()?, end.parse().ok()?);
            Op::Bounds { topic: STREAM.to_owned(), partition: words.first()?.parse().ok()?, start, end }
        }
        "digest" => Op::Digest(digest(words)?),
        "reshaped" => reshaped(topic, words)?,
        "phase" => Op::Phase(match *words.first()? {
            "healed" => Phase::Healed,
            "drain" => Phase::Drain,
            "end" => Phase::End,
            _ => return None,
        }),
        _ => return None,
    })
}

fn enqueue(words: &[&str]) -> Option<Op> {
    let mut terms = Terms::default();
    let mut at = None;
    let milliseconds = |text: &str| text.parse::<u64>().ok().map(|time| time * 1_000);
    for word in words.get(1..)? {
        if let Some(id) = word.strip_prefix('@') {
            at = Some(id.parse().ok()?);
            continue;
        }
        let (name, value) = word.split_once('=')?;
        match name {
            "key" => terms.key = Some(value.to_owned()),
            "due" => terms.not_before = Some(milliseconds(value)?),
            "ttl" => terms.expires = Some(milliseconds(value)?),
            "class" => terms.priority = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    Some(Op::Enqueue { topic: QUEUE.to_owned(), value: words.first()?.parse().ok()?, terms, at })
}

/// `message=payload#lease/attempt`, and how long it is held.
fn delivery(word: &str) -> Option<Delivery> {
    let (word, held) = match word.split_once('+') {
        Some((word, held)) => (word, Some(held.parse::<u64>().ok()? * 1_000)),
        None => (word, None),
    };
    let (message, rest) = word.split_once('=')?;
    let (payload, grant) = rest.split_once('#')?;
    let (lease, attempt) = grant.split_once('/')?;
    let (lease, attempt) = (lease.parse().ok()?, attempt.parse().ok()?);
    Some(Delivery { message: message.parse().ok()?, value: value(payload).ok()?, lease, attempt, held })
}

/// `?` is a payload that nobody made.
fn value(text: &str) -> Result<Option<Value>, NotAPair> {
    if text == "?" { Ok(None) } else { text.parse().map(Some) }
}

fn lease(word: &str) -> Option<(MessageId, u64)> {
    let (message, lease) = word.split_once('#')?;
    Some((message.parse().ok()?, lease.parse().ok()?))
}

fn parked(word: &str) -> Option<ParkedMessage> {
    let (message, rest) = word.split_once('=')?;
    let (payload, attempts) = rest.split_once('/')?;
    Some(ParkedMessage {
        message: message.parse().ok()?,
        value: value(payload).ok()?,
        attempts: attempts.parse().ok()?,
    })
}

fn ids(words: &[&str]) -> Option<Vec<MessageId>> {
    words.iter().map(|word| word.parse().ok()).collect()
}

fn reshaped(topic: String, words: &[&str]) -> Option<Op> {
    let place = words.iter().position(|word| *word == "to")?;
    let numbers = |words: &[&str]| words.iter().map(|word| word.parse().ok()).collect::<Option<Vec<u32>>>();
    Some(Op::Reshaped { topic, parents: numbers(&words[..place])?, children: numbers(&words[place + 1..])? })
}

fn poll(consumer: Consumer, words: &[&str]) -> Option<Op> {
    let offset: u64 = words.get(1)?.strip_prefix('@')?.parse().ok()?;
    let values = words[2..].iter().map(|word| value(word)).collect::<Result<Vec<_>, _>>().ok()?;
    let records = (offset..).zip(values).collect();
    let partition = words.first()?.parse().ok()?;
    Some(Op::Poll { topic: STREAM.to_owned(), consumer, group: None, partition, offset, records })
}

fn digest(words: &[&str]) -> Option<Digested> {
    let state = |word: &&str| {
        let (id, state) = word.split_once('=')?;
        let state = match state {
            "ready" => MessageState::Ready,
            "leased" => MessageState::Leased,
            "parked" => MessageState::Parked,
            _ => return None,
        };
        Some((id.parse().ok()?, state))
    };
    Some(Digested {
        node: (*words.first()?).to_owned(),
        topic: QUEUE.to_owned(),
        partition: words.get(1)?.parse().ok()?,
        applied: words.get(2)?.strip_prefix("applied=")?.parse().ok()?,
        hash: words.get(3)?.strip_prefix("hash=")?.to_owned(),
        messages: words[4..].iter().map(state).collect::<Option<_>>()?,
        bounds: None,
    })
}
