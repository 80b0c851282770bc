//! Keys and values of the store's tables, and the catalog that is read from them at start.

use weir_storage::fuzzing::{catalog, log_entry, table_rows};

use crate::input::{Input, rows_as_input};

/// A key or value that decodes is written back as it was; a catalog of any rows is read or refused.
pub fn law(data: &[u8]) {
    let mut input = Input::new(data);
    match input.u8() % 3 {
        0 => log_entry(input.rest()),
        1 => {
            let key = input.sized();
            table_rows(key, input.rest());
        }
        _ => {
            let rows = input.rows();
            catalog(&rows.iter().map(|row| (row.key.as_slice(), row.value.as_slice())).collect::<Vec<_>>());
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let group: (&[u8], &[u8]) = (&[1, 0, 0, 0, 7, 0], &[1, 0, 1, 0, 0, 0, 3]);
    let segment: (&[u8], &[u8]) =
        (&[2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1], &[0, 0, 0, 2, 255, 255, 255, 255, 255, 255, 255, 255]);
    let counter: (&[u8], &[u8]) = (&[3], &[0, 0, 0, 3]);
    let staging: (&[u8], &[u8]) = (&[4, 0, 0, 0, 7, 0, 0, 0, 4], &[]);
    let log: (&[u8], &[u8]) =
        (&[0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1], b"\x01\x01\0\0\0\0\0\0\0\x02body");
    let mut seeds = vec![
        [&[0], log.1].concat(),
        [vec![2], rows_as_input([group, segment, counter, staging, log])].concat(),
        [vec![2], rows_as_input([group, segment, counter])].concat(),
    ];
    for (key, value) in [group, segment, counter, staging, log] {
        seeds.push([&[1, key.len() as u8], key, value].concat());
    }
    seeds
}
