//! The page of a run, made of a run that never was.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::disallowed_types, reason = "a measurement takes real time")]

mod synthetic;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use weir_jepsen::report;

/// Where the run is kept to be looked at, if anywhere: `WEIR_REPORT=DIR cargo test -p weir-jepsen --test report`.
fn kept() -> Option<PathBuf> {
    std::env::var_os("WEIR_REPORT").map(PathBuf::from)
}

#[test]
fn the_page_of_a_run_shows_its_anomalies_with_their_operations() {
    let directory = tempfile::tempdir().unwrap();
    let path = kept().unwrap_or_else(|| directory.path().to_owned());
    fs::create_dir_all(&path).unwrap();
    synthetic::write(&path, 300, 200).unwrap();

    let page = fs::read_to_string(report::write(&path).unwrap()).unwrap();

    for part in [
        "redelivery-after-ack",
        "lost-write",
        "partition of n2, n5",
        "kill-all",
        "did not run for 250 ms",
        "--release -- replay",
        "--nemesis kill,partition,pause",
        "attempt 2",
    ] {
        assert!(page.contains(part), "`{part}` is missing");
    }
    assert!(page.len() < 3 << 20, "{} bytes", page.len());
    for outside in ["src=\"http", "href=\"http", "url(", "@import"] {
        assert!(!page.contains(outside), "the page needs the network: `{outside}`");
    }
}

#[test]
fn the_page_of_a_hundred_thousand_operations_is_no_larger_than_a_screen_can_show() {
    let directory = tempfile::tempdir().unwrap();
    let path = kept().unwrap_or_else(|| directory.path().to_owned());
    fs::create_dir_all(&path).unwrap();
    synthetic::write(&path, 40, 3_000).unwrap();

    let begun = Instant::now();
    let bytes = fs::metadata(report::write(&path).unwrap()).unwrap().len();

    let lines = fs::read_to_string(path.join("history.jsonl")).unwrap().lines().count();
    eprintln!("{lines} lines: {bytes} bytes after {:?}", begun.elapsed());
    assert!(lines > 100_000 && bytes < 2 << 20, "{lines} lines, {bytes} bytes");
}

#[test]
fn a_directory_without_results_is_refused_by_the_name_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let error = report::write(directory.path()).unwrap_err();
    assert!(error.to_string().contains("results.json"), "{error}");
}
