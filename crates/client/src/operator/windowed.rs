//! Records put together by key and window.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::state::Space;
use super::{Handler, HandlerError, Step, Window, Windows};
use crate::StreamRecord;

/// What becomes of the records of one key in one window.
pub trait Aggregator: Send + Sync + 'static {
    /// What is remembered of them: kept in the changelog with postcard, so its fields never change for an operator of the
    /// same name.
    type Value: Serialize + DeserializeOwned + Default;

    /// Adds a record.
    fn add(&self, value: &mut Self::Value, record: &StreamRecord);

    /// Puts two sessions together that have become one. Only [`Windows::session`] asks for it; the default forgets the
    /// later one.
    fn merge(&self, earlier: &mut Self::Value, later: Self::Value) {
        let _ = (earlier, later);
    }

    /// The window is over: usually a record is emitted.
    ///
    /// # Errors
    /// End the operator.
    fn finish(
        &self,
        key: &[u8],
        window: Window,
        value: Self::Value,
        step: &mut Step<'_>,
    ) -> Result<(), HandlerError>;

    /// A record came too late for a window; it is in no window's value. The default lets it go.
    ///
    /// # Errors
    /// End the operator.
    fn late(&self, record: &StreamRecord, window: Window, step: &mut Step<'_>) -> Result<(), HandlerError> {
        let _ = (record, window, step);
        Ok(())
    }
}

/// A handler that gives each record to the windows of its key, and tells when they are over. Records without a key share
/// one.
#[derive(Debug)]
pub struct Windowed<A> {
    windows: Windows,
    lateness_ms: u64,
    aggregator: A,
}

impl<A: Aggregator> Windowed<A> {
    /// A window is over when the watermark has reached its end.
    pub fn new(windows: Windows, aggregator: A) -> Self {
        Self { windows, lateness_ms: 0, aggregator }
    }

    /// Windows wait for so much longer.
    #[must_use]
    pub fn lateness(mut self, lateness: Duration) -> Self {
        self.lateness_ms = u64::try_from(lateness.as_millis()).unwrap_or(u64::MAX);
        self
    }

    fn enter(
        &self,
        key: &[u8],
        mut window: Window,
        record: &StreamRecord,
        step: &mut Step<'_>,
    ) -> Result<(), HandlerError> {
        let mut value = A::Value::default();
        if self.windows.is_session() {
            let met: Vec<_> = sessions(key, step)?.into_iter().filter(|open| open.meets(&window)).collect();
            for (place, open) in met.into_iter().enumerate() {
                let Some((_, earlier)) = take::<A>(key, open.start_ms, step)? else { continue };
                window = window.and(&open);
                if place == 0 {
                    value = earlier;
                } else {
                    self.aggregator.merge(&mut value, earlier);
                }
            }
        } else if let Some((_, known)) = take::<A>(key, window.start_ms, step)? {
            value = known;
        }
        self.aggregator.add(&mut value, record);
        let row = postcard::to_extend(&value, window.end_ms.to_be_bytes().to_vec())?;
        step.state.put(Space::Window, &row_key(key, window.start_ms), row.into());
        Ok(())
    }
}

impl<A: Aggregator> Handler for Windowed<A> {
    fn handle(&self, record: &StreamRecord, step: &mut Step<'_>) -> Result<(), HandlerError> {
        let key = record.key.clone().unwrap_or_default();
        for window in self.windows.of(record.timestamp_ms) {
            if window.end_ms.saturating_add(self.lateness_ms) <= step.watermark_ms() {
                self.aggregator.late(record, window, step)?;
            } else {
                self.enter(&key, window, record, step)?;
            }
        }
        Ok(())
    }

    fn watermark(&self, step: &mut Step<'_>) -> Result<(), HandlerError> {
        let until_ms = step.watermark_ms().saturating_sub(self.lateness_ms);
        while let Some(row) = step.state.first_ended(until_ms) {
            let (key, start_ms) = parse_key(&row)?;
            let Some((end_ms, value)) = take::<A>(&key, start_ms, step)? else { break };
            self.aggregator.finish(&key, Window { start_ms, end_ms }, value, step)?;
        }
        Ok(())
    }
}

/// The open sessions of a key, from the earliest on.
fn sessions(key: &[u8], step: &Step<'_>) -> Result<Vec<Window>, HandlerError> {
    let prefix = prefix(key);
    let open = step.state.with_prefix(Space::Window, &prefix);
    let window = |(row, value): (&[u8], &Bytes)| {
        let (_, start_ms) = parse_key(row)?;
        let (end, _) = value.split_first_chunk().ok_or("a window without an end")?;
        Ok(Window { start_ms, end_ms: u64::from_be_bytes(*end) })
    };
    open.map(window).collect()
}

/// Takes a window out of the state: its end, and its value.
fn take<A: Aggregator>(
    key: &[u8],
    start_ms: u64,
    step: &mut Step<'_>,
) -> Result<Option<(u64, A::Value)>, HandlerError> {
    let Some(row) = step.state.remove(Space::Window, &row_key(key, start_ms)) else { return Ok(None) };
    let (end, value) = row.split_first_chunk().ok_or("a window without an end")?;
    Ok(Some((u64::from_be_bytes(*end), postcard::from_bytes(value)?)))
}

/// A key of its own length comes first, so that no key is another's prefix.
fn prefix(key: &[u8]) -> Vec<u8> {
    [&(key.len() as u32).to_be_bytes()[..], key].concat()
}

fn row_key(key: &[u8], start_ms: u64) -> Vec<u8> {
    [&prefix(key)[..], &start_ms.to_be_bytes()].concat()
}

fn parse_key(row: &[u8]) -> Result<(Vec<u8>, u64), HandlerError> {
    let parse = || {
        let (_, rest) = row.split_first_chunk::<4>()?;
        let (key, start) = rest.split_last_chunk()?;
        Some((key.to_vec(), u64::from_be_bytes(*start)))
    };
    parse().ok_or_else(|| "a window without a beginning".into())
}
