//! The table of planted bugs (`crates/types/src/mutants.rs`) and the places where they are planted agree.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use weir_types::mutants::Mutant;

const PLANTING: &str = "mutants::on(Mutant::";

fn root() -> PathBuf {
    PathBuf::from("..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Where each mutant is planted: once per place in the source.
fn plantings() -> BTreeMap<String, Vec<String>> {
    let root = root();
    let mut files = Vec::new();
    sources(&root.join("crates"), &mut files);
    let mut planted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let place = file.strip_prefix(&root).unwrap().display().to_string();
        for (at, _) in text.match_indices(PLANTING) {
            let name: String =
                text[at + PLANTING.len()..].chars().take_while(char::is_ascii_alphanumeric).collect();
            planted.entry(name).or_default().push(place.clone());
        }
    }
    planted
}

#[test]
fn every_mutant_is_planted_once_and_where_its_table_says() {
    let table: BTreeMap<String, Vec<String>> = Mutant::ALL
        .iter()
        .map(|mutant| (mutant.planted().name.to_owned(), vec![mutant.planted().at.to_owned()]))
        .collect();
    assert_eq!(plantings(), table);
}
