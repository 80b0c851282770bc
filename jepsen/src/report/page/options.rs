//! With what the run was made.

use maud::{Markup, html};
use serde_json::Value;

use crate::report::run::Run;

/// All options, and the faults that were planned.
pub(super) fn section(run: &Run) -> Markup {
    html! {
        @match &run.options {
            Value::Object(options) => div.scroll {
                table.options { tbody { @for (name, value) in options { tr { th scope="row" { (name) } td { (text(value)) } } } } }
            }
            _ => p { "The run left no " code { "options.json" } "." }
        }
        @if let Some(steps) = steps(&run.schedule) {
            details {
                summary { "Planned faults: " (steps.len()) }
                ol.steps { @for step in steps { li { code { (step) } } } }
            }
        }
    }
}

/// The planned faults of a schedule: a list, or an object with one.
fn steps(schedule: &Value) -> Option<&Vec<Value>> {
    schedule.as_array().or_else(|| schedule.as_object()?.values().find_map(Value::as_array))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
