//! Words on the command line that stand for a value: spans, sizes, headers, places in a stream.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use weir_client::{MessageRef, ParkPolicy, ResetTo};

/// A span such as `30s`, `5m`, `7d`, in milliseconds.
pub(super) fn span_ms(text: &str) -> Result<u64, String> {
    let span =
        humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 30s, 5m or 7d"))?;
    u64::try_from(span.as_millis()).map_err(|_| "too long".to_owned())
}

/// A span, or `never`, which the API writes as 0.
pub(super) fn span_or_never_ms(text: &str) -> Result<u64, String> {
    if text == "never" { Ok(0) } else { span_ms(text) }
}

/// A number from 1 on, or `unlimited`, which the API writes as 0.
pub(super) fn count_or_unlimited(text: &str) -> Result<u32, String> {
    match text.parse() {
        _ if text == "unlimited" => Ok(0),
        Ok(0) => Err("it is 1 or more, or `unlimited`".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("{error}; write a number, or `unlimited`")),
    }
}

/// What a parked message does to its key.
pub(super) fn park(text: &str) -> Result<ParkPolicy, String> {
    match text {
        "park_message" => Ok(ParkPolicy::ParkMessage),
        "park_key" => Ok(ParkPolicy::ParkKey),
        "block_key" => Ok(ParkPolicy::BlockKey),
        _ => Err("it is park_message, park_key or block_key".to_owned()),
    }
}

/// A size such as `512`, `64KiB`, `10GiB` (1,024) or `10GB` (1,000), in bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size; write it like 512, 64KiB or 10GiB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KB" | "kB" => 1000,
        "MB" => 1000_u64.pow(2),
        "GB" => 1000_u64.pow(3),
        "TB" => 1000_u64.pow(4),
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
}

/// A size, or `unlimited`, which the API writes as 0.
pub(super) fn size_or_unlimited(text: &str) -> Result<u64, String> {
    if text == "unlimited" { Ok(0) } else { size(text) }
}

/// Names of consumer groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names(pub(super) Vec<String>);

/// Names between commas, or `none`.
pub(super) fn names_or_none(text: &str) -> Result<Names, String> {
    if text == "none" {
        return Ok(Names(Vec::new()));
    }
    let names: Vec<_> = text.split(',').map(str::to_owned).collect();
    if names.iter().any(String::is_empty) {
        return Err("a name is empty; write them like audit,billing, or `none`".to_owned());
    }
    Ok(Names(names))
}

/// The name of a header, or `none`, which is empty.
pub(super) fn header_or_none(text: &str) -> Result<String, String> {
    match text {
        "none" => Ok(String::new()),
        "" => Err("a header's name is not empty; write `none` for no header".to_owned()),
        name => Ok(name.to_owned()),
    }
}

/// A key hash in hexadecimal digits, as `weir topic describe` shows them.
pub(super) fn key_hash(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_hash = (1..=8).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let wrong = || format!("`{text}` is no key hash; write 1 to 8 hexadecimal digits, as in 80000000");
    is_hash.then(|| u32::from_str_radix(digits, 16).ok()).flatten().ok_or_else(wrong)
}

/// A header `name=value`.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is no header; write name=value")),
    }
}

/// One message of a queue: partition and id, written `0/17`.
pub(super) fn message(text: &str) -> Result<MessageRef, String> {
    text.split_once('/')
        .and_then(|(partition, id)| {
            Some(MessageRef { partition: partition.parse().ok()?, message_id: id.parse().ok()? })
        })
        .ok_or_else(|| format!("`{text}` is no message; write partition/id, as in 0/17"))
}

/// A time such as `2026-01-31T12:00:00Z`, or a span back from now such as `-1h`, in milliseconds since the Unix epoch.
pub(super) fn time_ms(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(Place::TimeMs(ms)) => Ok(ms),
        _ => Err(format!(
            "`{text}` is no time; write it like 2026-01-31T12:00:00Z, or like -1h for an hour ago"
        )),
    }
}

/// A place in every partition of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The first record that is kept.
    Earliest,
    /// After the last record.
    Latest,
    /// This offset.
    Offset(u64),
    /// The first record at or after this time, in milliseconds since the Unix epoch.
    TimeMs(u64),
    /// So many records before the end.
    Lag(u64),
}

impl From<Place> for ResetTo {
    fn from(place: Place) -> Self {
        match place {
            Place::Earliest => Self::Earliest,
            Place::Latest => Self::Latest,
            Place::Offset(offset) => Self::Offset(offset),
            Place::TimeMs(ms) => Self::TimeMs(ms),
            Place::Lag(records) => Self::Lag(records),
        }
    }
}

impl Place {
    /// How an option that takes a place shows it in the help.
    pub(super) const SYNTAX: &str = "earliest|latest|OFFSET|TIME|lag:N";

    /// Reads a place; a span such as `-5m` is counted back from `now`.
    fn read(text: &str, now: Timestamp) -> Result<Self, String> {
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Ok(offset) = text.parse() {
            return Ok(Self::Offset(offset));
        }
        if let Some(records) = text.strip_prefix("lag:") {
            let wrong = |_| format!("`{records}` is no number of records; write it like lag:100");
            return records.parse().map(Self::Lag).map_err(wrong);
        }
        if let Some(span) = text.strip_prefix('-') {
            let now_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
            return Ok(Self::TimeMs(now_ms.saturating_sub(span_ms(span)?)));
        }
        let time = Timestamp::from_str(text).map_err(|_| {
            format!(
                "`{text}` is no place in a stream; write earliest, latest, an offset, a time like \
                 2026-01-31T12:00:00Z, a span back from now like -5m, or so many records before the end like \
                 lag:100"
            )
        })?;
        u64::try_from(time.as_millisecond())
            .map(Self::TimeMs)
            .map_err(|_| format!("`{text}` lies before 1970"))
    }
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text, Timestamp::now())
    }
}

/// How long to wait at most, as a `Duration`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    span_ms(text).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_read_as_people_write_them() {
        assert_eq!(span_ms("30s"), Ok(30_000));
        assert_eq!(span_ms("1h 30m"), Ok(5_400_000));
        assert!(span_ms("soon").is_err());
        assert_eq!(span_or_never_ms("never"), Ok(0));
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("10 GB"), Ok(10_000_000_000));
        assert_eq!(size_or_unlimited("unlimited"), Ok(0));
        for wrong in ["", "KiB", "10 apples", "99999999999TiB", "-1"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_are_words_offsets_times_and_spans_back() {
        let now = Timestamp::from_second(1_000).expect("in range");
        let read = |text| Place::read(text, now);
        assert_eq!(read("earliest"), Ok(Place::Earliest));
        assert_eq!(read("latest"), Ok(Place::Latest));
        assert_eq!(read("17"), Ok(Place::Offset(17)));
        assert_eq!(read("1970-01-01T00:00:01Z"), Ok(Place::TimeMs(1000)));
        assert_eq!(read("-5m"), Ok(Place::TimeMs(700_000)));
        assert_eq!(read("-100y"), Ok(Place::TimeMs(0)));
        assert_eq!(read("lag:100"), Ok(Place::Lag(100)));
        for wrong in ["yesterday", "1969-12-31T00:00:00Z", "-soon", "lag:", "lag:-1", ""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn key_hashes_are_hexadecimal_digits() {
        assert_eq!(key_hash("80000000"), Ok(0x8000_0000));
        assert_eq!((key_hash("0xFFffFFff"), key_hash("0")), (Ok(u32::MAX), Ok(0)));
        for wrong in ["", "0x", "100000000", "+1", "-1", "80 00", "key"] {
            assert!(key_hash(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_and_message_addresses_have_two_parts() {
        assert_eq!(header("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(header("=b").is_err() && header("a").is_err());
        assert_eq!(message("2/17"), Ok(MessageRef { partition: 2, message_id: 17 }));
        assert!(message("17").is_err());
    }
}
