//! What an operator does with a record.

use super::Step;
use crate::StreamRecord;

/// Why a record cannot be handled. The operator ends with it; the group stays before the record.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// Handles records one by one, those of a partition in order. What it remembers goes into the [`Step`]: it is the same for
/// all partitions, and has no state of its own.
///
/// Closures are handlers:
///
/// ```
/// use weir_client::operator::{Handler, HandlerError, Step};
/// use weir_client::{Record, StreamRecord};
///
/// fn shout() -> impl Handler {
///     |record: &StreamRecord, step: &mut Step<'_>| -> Result<(), HandlerError> {
///         let text = std::str::from_utf8(record.value.as_deref().unwrap_or_default())?;
///         step.emit("shouts", Record::new(text.to_uppercase()));
///         Ok(())
///     }
/// }
/// # drop(shout());
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Handles one record. It must not depend on anything but the record and the step: after a crash it is called again
    /// with the same of both.
    ///
    /// # Errors
    /// End the operator.
    fn handle(&self, record: &StreamRecord, step: &mut Step<'_>) -> Result<(), HandlerError>;

    /// Looks at the watermark, which may have risen; called before each record is handled. What is left to do when a step is
    /// full can be done at the next call.
    ///
    /// # Errors
    /// End the operator.
    fn watermark(&self, step: &mut Step<'_>) -> Result<(), HandlerError> {
        let _ = step;
        Ok(())
    }

    /// Whether it remembers anything. One that does not needs no changelog, and sees no watermark from before a restart.
    fn keeps_state(&self) -> bool {
        true
    }
}

impl<F> Handler for F
where
    F: Fn(&StreamRecord, &mut Step<'_>) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    fn handle(&self, record: &StreamRecord, step: &mut Step<'_>) -> Result<(), HandlerError> {
        self(record, step)
    }
}
