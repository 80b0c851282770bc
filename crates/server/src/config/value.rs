//! Values of settings, read from TOML or from text. Errors complete the sentence "`key` …".

use std::net::{IpAddr, SocketAddr};

use toml::Value;

/// A flag or variable as a value. It stays text; what expects a number or a boolean reads it from there.
pub(super) fn from_text(text: &str) -> Value {
    Value::String(text.to_owned())
}

pub(super) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) if text.is_empty() => Err("is empty".to_owned()),
        Value::String(text) => Ok(text.clone()),
        _ => Err("is not a string".to_owned()),
    }
}

pub(super) fn integer(value: &Value) -> Result<i64, String> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_integer(),
    };
    number.ok_or_else(|| "is not a whole number".to_owned())
}

pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    let boolean = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_bool(),
    };
    boolean.ok_or_else(|| "is neither true nor false".to_owned())
}

/// A size: a number of bytes, or text such as `64MiB`.
pub(super) fn bytes(value: &Value) -> Result<u64, String> {
    match value {
        Value::Integer(bytes) => u64::try_from(*bytes).map_err(|_| format!("is {bytes}, below 0")),
        Value::String(text) => text
            .parse::<bytesize::ByteSize>()
            .map(|size| size.as_u64())
            .map_err(|_| format!("is `{text}`, not a size such as `64MiB`")),
        _ => Err("is not a size such as \"64MiB\"".to_owned()),
    }
}

/// `host:port`.
pub(super) fn address(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    match port.and_then(|port| port.parse::<u16>().ok()) {
        Some(_) => Ok(text),
        None => Err(format!("is `{text}`, not host:port")),
    }
}

/// An array of addresses, or text with commas.
pub(super) fn addresses(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(values) => values.iter().map(address).collect(),
        Value::String(text) => {
            text.split(',').map(|part| address(&Value::String(part.trim().to_owned()))).collect()
        }
        _ => Err("is not a list of host:port".to_owned()),
    }
}

/// Whether an address can only be reached from this machine.
pub(super) fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    match (address.parse::<SocketAddr>(), host.parse::<IpAddr>()) {
        (Ok(socket), _) => socket.ip().is_loopback(),
        (_, Ok(ip)) => ip.is_loopback(),
        _ => host == "localhost",
    }
}

/// Edits between two keys (Levenshtein), for hints.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.bytes().enumerate() {
            let change = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
