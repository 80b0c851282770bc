//! Consensus's own rows, pointers and log records, as they lie on disk.

use weir_consensus::fuzzing::{log_record, pointers, rows};

use crate::input::{Input, rows_as_input};

/// Rows are told apart or refused; pointers and log records that decode are encoded to the same again.
pub fn law(data: &[u8]) {
    let mut input = Input::new(data);
    match input.u8() % 3 {
        0 => rows(input.rows()),
        1 => pointers(input.rest()),
        _ => log_record(input.u8(), input.rest()),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let applied = [&[1][..], &3u64.to_be_bytes(), &258u64.to_be_bytes()].concat();
    // One configuration of voters 1 and 2, both on nodes of their own.
    let membership = [1, 2, 1, 2, 2, 1, 1, 2, 2];
    let stored = [&[1, 1, 3, 7][..], &membership].concat();
    let rows = [(&[0u8, 1][..], &applied[..]), (&[0, 2], &stored), (&[1, 7], b"machine")];
    vec![
        [vec![0], rows_as_input(rows)].concat(),
        vec![1, 1, 3, 2, 1],
        vec![1, 1, 1, 3, 7],
        [&[2, 2], &membership[..]].concat(),
        vec![2, 1, b'x'],
    ]
}
