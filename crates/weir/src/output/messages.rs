//! Messages and records. A body is printed as it is for people; JSON has it as text, or in base64 when it is none.

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use weir_client::Header;

/// Bytes for JSON: `"text"`, or `{"base64": "…"}` when they are no UTF-8.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a>(pub(crate) &'a [u8]);

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = str::from_utf8(self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("base64", &base64(self.0))?;
        map.end()
    }
}

/// Headers for JSON: a list of pairs, because names may repeat.
pub(crate) fn headers(headers: &[Header]) -> Vec<(&str, Body<'_>)> {
    headers.iter().map(|header| (header.name.as_str(), Body(&header.value))).collect()
}

/// Bytes for a cell of a table: one line, printable, cut after `width` characters.
pub(crate) fn preview(bytes: &[u8], width: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String = text.chars().take(width).map(|c| if c.is_control() { '·' } else { c }).collect();
    if text.chars().nth(width).is_some() {
        shown.push('…');
    }
    shown
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 63;
            text.push(if place <= chunk.len() { char::from(ALPHABET[digit as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_body_is_text_when_it_can_be() {
        let json = |bytes| serde_json::to_string(&Body(bytes)).expect("plain");
        assert_eq!(json("héllo".as_bytes()), r#""héllo""#);
        assert_eq!(json(b"\xff\xfe"), r#"{"base64":"//4="}"#);
    }

    #[test]
    fn a_preview_is_one_line() {
        assert_eq!(preview(b"one\ntwo", 20), "one·two");
        assert_eq!(preview("äöü".as_bytes(), 2), "äö…");
    }
}
