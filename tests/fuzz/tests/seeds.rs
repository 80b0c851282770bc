//! The seeds, and every input that once broke a law, without a fuzzer.

use std::fs;
use std::path::Path;

use weir_fuzz::TARGETS;

#[test]
fn every_seed_and_every_input_that_once_broke_a_law_keeps_it() {
    for target in TARGETS {
        let folder = Path::new("seeds").join(target.name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("the folder lists").path();
            (target.law)(&fs::read(&path).expect("the file reads"));
            inputs += 1;
        }
        assert!(inputs > 0, "{} has no seeds", target.name);
    }
}

#[test]
fn committed_seeds_are_what_the_encoders_write() {
    for target in TARGETS {
        for (number, seed) in (target.seeds)().iter().enumerate() {
            let name = format!("seeds/{}/seed-{number:02}", target.name);
            let path = Path::new(&name);
            assert!(fs::read(path).is_ok_and(|bytes| bytes == *seed), "{name} is old: run the bin `seeds`");
        }
    }
}
