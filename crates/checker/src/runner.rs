//! Reads a history once and shows it to every check.
//!
//! ```text
//!              batches, shared               ┌► worker 0: its share of messages and values, and every nth whole check ─┐
//!  history ──────────────────► bounded channels                                                                        ├► Report
//!                                            └► worker n …                                                             ─┘
//! ```
//!
//! Nothing is kept of an event but what a check notes of it, so that memory grows with the number of messages and not
//! with the length of the text.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::checks::{self, Fold, Shard};
use crate::report::Figures;
use crate::{Checked, Event, Options, ReadError, Report};

/// Events that travel together.
const BATCH_EVENTS: usize = 4_096;
/// Batches that may wait for a worker.
const BATCHES_WAITING_MAX: usize = 8;

/// Events with the line number of the first.
struct Batch {
    first: u64,
    events: Vec<Event>,
}

/// Judges a history on as many threads as there are workers, beside the caller's, which reads.
///
/// # Errors
/// When the history cannot be read to its end; nothing is judged then.
pub fn judge<I>(history: I, options: &Options, workers: u32) -> Result<Report, ReadError>
where
    I: IntoIterator<Item = Result<Event, ReadError>>,
{
    let workers = workers.max(1);
    thread::scope(|scope| {
        let mut channels = Vec::new();
        let mut running = Vec::new();
        for (index, folds) in (0..).zip(deal(options, workers)) {
            let (sender, receiver) = sync_channel(BATCHES_WAITING_MAX);
            let worker = thread::Builder::new().name(format!("check-{index}"));
            running.push(worker.spawn_scoped(scope, move || fold(folds, &receiver)).map_err(ReadError::Io)?);
            channels.push(sender);
        }
        let figures = read(history, &channels);
        // The workers end with their channels, whether all was read or not.
        drop(channels);
        let found = running.into_iter().flat_map(|worker| worker.join().expect("a check never panics"));
        let found = found.collect();
        Ok(Report::of(found, figures?))
    })
}

/// Each worker's folds.
fn deal(options: &Options, workers: u32) -> Vec<Vec<Box<dyn Fold>>> {
    let shares = (0..workers).map(|index| checks::shared(options, Shard { index, of: workers }));
    let mut dealt: Vec<_> = shares.collect();
    for (place, fold) in checks::whole(options).into_iter().enumerate() {
        dealt[place % workers as usize].push(fold);
    }
    dealt
}

fn read<I>(history: I, channels: &[SyncSender<Arc<Batch>>]) -> Result<Figures, ReadError>
where
    I: IntoIterator<Item = Result<Event, ReadError>>,
{
    let mut figures = Figures::default();
    let mut events = Vec::with_capacity(BATCH_EVENTS);
    for event in history {
        let event = event?;
        figures.count(&event);
        events.push(event);
        if events.len() == BATCH_EVENTS {
            let full = std::mem::replace(&mut events, Vec::with_capacity(BATCH_EVENTS));
            send(figures.events, full, channels);
        }
    }
    send(figures.events, events, channels);
    Ok(figures)
}

fn send(end: u64, events: Vec<Event>, channels: &[SyncSender<Arc<Batch>>]) {
    let batch = Arc::new(Batch { first: end - events.len() as u64, events });
    for channel in channels {
        // A worker that is gone has panicked: its join says so.
        let _ = channel.send(Arc::clone(&batch));
    }
}

fn fold(mut folds: Vec<Box<dyn Fold>>, batches: &Receiver<Arc<Batch>>) -> Vec<Checked> {
    for batch in batches {
        for fold in &mut folds {
            for (line, event) in (batch.first..).zip(&batch.events) {
                fold.observe(line, event);
            }
        }
    }
    folds.into_iter().flat_map(Fold::finish).collect()
}
