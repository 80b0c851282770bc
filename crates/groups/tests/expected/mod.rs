//! Files with expected text. `WEIR_UPDATE=1` writes what is, instead of comparing.

use std::path::{Path, PathBuf};

pub(crate) fn path(below_tests: &str) -> PathBuf {
    Path::new("tests").join(below_tests)
}

pub(crate) fn compare(file: &Path, actual: &str) {
    if std::env::var_os("WEIR_UPDATE").is_some() {
        std::fs::write(file, actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    let differs = expected.lines().zip(actual.lines()).position(|(left, right)| left != right);
    let line = differs.unwrap_or_else(|| expected.lines().count().min(actual.lines().count()));
    assert!(
        expected == actual,
        "{} differs from line {}:\n expected: {:?}\n   actual: {:?}\nWEIR_UPDATE=1 accepts all changes",
        file.display(),
        line + 1,
        expected.lines().nth(line),
        actual.lines().nth(line),
    );
}
