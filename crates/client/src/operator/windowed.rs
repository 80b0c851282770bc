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

/// Longest key of a record that goes to windows: a row of the changelog has the window beside it.
const KEY_BYTES_MAX: usize = 60 << 10;

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

    /// Whether a window takes no records any more.
    fn is_over(&self, window: Window, step: &Step<'_>) -> bool {
        window.end_ms.saturating_add(self.lateness_ms) <= step.watermark_ms()
    }

    /// The window of a record, grown by the open sessions that it meets, and those.
    fn grown(
        &self,
        key: &[u8],
        mut window: Window,
        step: &Step<'_>,
    ) -> Result<(Window, Vec<Window>), HandlerError> {
        let mut met = Vec::new();
        if self.windows.is_session() {
            // A session that the record reaches may reach the next one.
            let open = sessions(key, step)?.into_iter().filter(|open| !self.is_over(*open, step));
            let mut open: Vec<Window> = open.collect();
            while let Some(place) = open.iter().position(|open| open.meets(&window)) {
                let session = open.remove(place);
                window = window.and(&session);
                met.push(session);
            }
            met.sort_unstable();
        } else {
            met.push(window);
        }
        Ok((window, met))
    }

    fn enter(
        &self,
        key: &[u8],
        (window, met): (Window, Vec<Window>),
        record: &StreamRecord,
        step: &mut Step<'_>,
    ) -> Result<(), HandlerError> {
        let mut value: Option<A::Value> = None;
        for open in met {
            let Some((_, known)) = take::<A>(key, open.start_ms, step)? else { continue };
            match &mut value {
                Some(earlier) => self.aggregator.merge(earlier, known),
                None => value = Some(known),
            }
        }
        let mut value = value.unwrap_or_default();
        self.aggregator.add(&mut value, record);
        let row = postcard::to_extend(&value, window.end_ms.to_be_bytes().to_vec())?;
        step.state.put(Space::Window, &row_key(key, window.start_ms), row.into());
        Ok(())
    }
}

impl<A: Aggregator> Handler for Windowed<A> {
    fn handle(&self, record: &StreamRecord, step: &mut Step<'_>) -> Result<(), HandlerError> {
        let key = record.key.clone().unwrap_or_default();
        if key.len() > KEY_BYTES_MAX {
            return Err(
                format!("a key of {} bytes is too long for a window: {KEY_BYTES_MAX}", key.len()).into()
            );
        }
        for window in self.windows.of(record.timestamp_ms) {
            let (grown, met) = self.grown(&key, window, step)?;
            if self.is_over(grown, step) {
                self.aggregator.late(record, window, step)?;
            } else {
                self.enter(&key, (grown, met), record, step)?;
            }
        }
        Ok(())
    }

    fn watermark(&self, step: &mut Step<'_>) -> Result<(), HandlerError> {
        let until_ms = step.watermark_ms().saturating_sub(self.lateness_ms);
        // What finds no room in this step is told with the next records.
        while step.has_room()
            && let Some(row) = step.state.first_ended(until_ms)
        {
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
