//! The machines' golden files: their encoders' bytes in hexadecimal.

use std::path::PathBuf;

fn read(machine: &str, file: &str) -> String {
    let path =
        PathBuf::from(format!("../../crates/{machine}/tests/golden/{file}"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// The commands of a machine, each as it is encoded. Indented lines say the same in words.
pub(crate) fn commands(machine: &str) -> Vec<Vec<u8>> {
    read(machine, "commands.txt").lines().filter(|line| !line.starts_with(' ')).filter_map(unhex).collect()
}

/// The rows of a machine that `key = value` or `key value …` tells, without what was deleted.
pub(crate) fn rows(machine: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = read(machine, "rows.txt");
    let row = |line: &str| {
        let mut words = line.split_whitespace().filter(|word| *word != "=");
        Some((unhex(words.next()?)?, unhex(words.next()?)?))
    };
    text.lines().filter_map(row).collect()
}
