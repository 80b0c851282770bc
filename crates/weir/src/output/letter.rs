//! One parked message in full.

use serde::Serialize;
use weir_client::PeekedMessage;

use super::{Body, Page, View, headers, time_ms};

/// A parked message, why it is parked, and all that is in it.
#[derive(Debug, Serialize)]
pub(crate) struct LetterView<'a> {
    partition: u32,
    message_id: u64,
    reason: &'a str,
    attempts: u32,
    time: String,
    key: Option<Body<'a>>,
    headers: Vec<(&'a str, Body<'a>)>,
    value: Option<Body<'a>>,
}

impl<'a> LetterView<'a> {
    pub(crate) fn of(letter: &'a PeekedMessage) -> Self {
        Self {
            partition: letter.partition,
            message_id: letter.message_id,
            reason: &letter.reason,
            attempts: letter.attempts,
            time: time_ms(letter.timestamp_ms),
            key: letter.key.as_deref().map(Body),
            headers: headers(&letter.headers),
            value: letter.value.as_deref().map(Body),
        }
    }
}

impl View for LetterView<'_> {
    fn text(&self, _: Page) -> String {
        let text = |body: &Body| String::from_utf8_lossy(body.0).into_owned();
        let mut lines = vec![
            format!("message   {}/{}", self.partition, self.message_id),
            format!("parked    {}", self.reason),
            format!("attempts  {}", self.attempts),
            format!("time      {}", self.time),
        ];
        lines.extend(self.key.as_ref().map(|key| format!("key       {}", text(key))));
        let header = |(name, value): &(&str, Body)| format!("header    {name}={}", text(value));
        lines.extend(self.headers.iter().map(header));
        lines.extend(self.value.as_ref().map(|value| format!("\n{}", text(value))));
        lines.join("\n")
    }
}
