//! Whether each defect shows.

use std::collections::BTreeSet;
use std::fmt::Debug;

/// Histories within which a defect must show.
const HISTORIES_MAX: u64 = 30;

/// Plays each defect until the anomaly that is there for it shows.
///
/// # Panics
/// When one does not: with what was found instead.
pub(crate) fn each_is_found<D: Copy + Debug>(
    defects: &[(D, &str)],
    play: impl Fn(u64, D) -> BTreeSet<String>,
) {
    let mut missed = Vec::new();
    for (defect, anomaly) in defects {
        let mut seen = BTreeSet::new();
        let found = (0..HISTORIES_MAX).find(|seed| {
            let shown = play(*seed, *defect);
            let found = shown.contains(*anomaly);
            seen.extend(shown);
            found
        });
        match found {
            Some(seed) => eprintln!("{defect:?}: {anomaly} after {} histories", seed + 1),
            None => missed.push(format!("{defect:?}: no {anomaly}, but {seen:?}")),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
