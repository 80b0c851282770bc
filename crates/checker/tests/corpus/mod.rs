//! A folder of hand-made histories: a file for each anomaly, with bad ones that show it and clean ones that show none.
//!
//! ```text
//! # bad: a sentence that says what is wrong
//! -- with `also NAME` what else it shows, of necessity
//! 0-10 …
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use weir_checker::{Event, Options, Report, judge};

/// Fewest histories of each kind.
const HISTORIES_MIN: usize = 3;

/// One folder.
pub(crate) struct Corpus<'a> {
    /// Its name.
    pub(crate) folder: &'a str,
    /// Check and anomaly: a file for each.
    pub(crate) anomalies: &'a [(&'a str, &'a str)],
    /// Reads the notation.
    pub(crate) notation: fn(&str) -> Vec<Event>,
}

struct Case {
    bad: bool,
    sentence: String,
    also: BTreeSet<String>,
    text: String,
}

impl Corpus<'_> {
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("tests/histories/{}/{name}.txt", self.folder))
    }

    fn cases(&self, name: &str) -> Vec<Case> {
        let path = self.path(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let sections = text.split("\n# ").map(|section| section.trim_start_matches("# "));
        sections.filter(|section| !section.trim().is_empty()).map(case).collect()
    }

    fn report(&self, case: &Case, workers: u32) -> Report {
        let history = (self.notation)(&case.text);
        let mut options = Options::default();
        options.groups.polls_are_fenced = true;
        judge(history.into_iter().map(Ok), &options, workers).expect("nothing is read")
    }

    /// Anomalies of the folder's checks: others have more to ask of a history.
    fn shown(&self, report: &Report) -> Vec<(String, String)> {
        let ours = report
            .anomalies()
            .filter(|anomaly| self.anomalies.iter().any(|(check, _)| *check == anomaly.check));
        ours.map(|anomaly| (anomaly.name.clone(), format!("{}: {}", anomaly.subject, anomaly.text))).collect()
    }

    /// Bad histories show their anomaly, and what they say they show besides, and clean ones nothing.
    pub(crate) fn judge(&self) {
        let mut wrong = Vec::new();
        for (_, name) in self.anomalies {
            let cases = self.cases(name);
            for bad in [true, false] {
                let count = cases.iter().filter(|case| case.bad == bad).count();
                assert!(count >= HISTORIES_MIN, "{name} has {count} histories that are bad: {bad}");
            }
            for case in &cases {
                let report = self.report(case, 2);
                assert_eq!(report, self.report(case, 1), "{name}: {}: as one worker sees it", case.sentence);
                let shown = self.shown(&report);
                let names: BTreeSet<String> = shown.iter().map(|(name, _)| name.clone()).collect();
                let mut expected = case.also.clone();
                expected.extend(case.bad.then(|| (*name).to_owned()));
                if names != expected {
                    wrong.push(format!("{name}: {}: expected {expected:?}, shown {shown:#?}", case.sentence));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// No file without an anomaly, no sentence twice in a file.
    pub(crate) fn is_in_order(&self) {
        let folder = self.path("any").parent().map(Path::to_path_buf).expect("a file is in a folder");
        for file in fs::read_dir(folder).expect("the folder of histories") {
            let path = file.expect("an entry").path();
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            assert!(
                self.anomalies.iter().any(|(_, known)| *known == name),
                "{name} is no anomaly of these checks"
            );
            let mut sentences = BTreeSet::new();
            for case in self.cases(&name) {
                assert!(sentences.insert(case.sentence.clone()), "{name} says twice: {}", case.sentence);
            }
        }
    }
}

fn case(section: &str) -> Case {
    let (title, body) = section.split_once('\n').expect("a history follows its sentence");
    let (kind, sentence) = title.split_once(": ").expect("bad or clean, and a sentence");
    assert!(["bad", "clean"].contains(&kind), "neither bad nor clean: {title}");
    let also = body.lines().filter_map(|line| line.trim().strip_prefix("-- also "));
    let also = also.flat_map(str::split_whitespace).map(str::to_owned).collect();
    Case { bad: kind == "bad", sentence: sentence.to_owned(), also, text: body.to_owned() }
}
