//! The server's configuration file, and its settings as text.

use std::collections::BTreeMap;
use std::path::Path;

use weir_server::{Config, SETTINGS, Source};

use crate::input::Input;

/// A configuration is loaded or refused with a reason; a loaded one, written out, loads as itself.
pub fn law(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.u8();
    let Ok(text) = str::from_utf8(input.rest()) else { return };
    let path = Path::new("weir.toml");
    let loaded = if choice & 1 == 0 {
        Config::load(&[Source::File(path, text)])
    } else {
        let values = SETTINGS.iter().zip(text.split('\n')).filter(|(_, value)| !value.is_empty());
        let values: BTreeMap<_, _> = values.map(|(setting, value)| (setting.key, value.to_owned())).collect();
        Config::load(&[Source::Values("variable", values)])
    };
    match loaded {
        Ok(config) => {
            let again = Config::load(&[Source::File(path, &config.to_toml())]);
            assert_eq!(again, Ok(config), "the effective configuration loads as itself");
        }
        Err(problems) => assert!(!problems.0.is_empty() && !problems.to_string().is_empty()),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let example = include_bytes!("../../../deploy/example/weir.toml");
    // In the order of the settings: name, folder, rack; the rest keeps its default.
    let values = ["a", "weir-data", "r1"];
    vec![
        [&[0], &example[..]].concat(),
        [&[0], Config::default().to_toml().as_bytes()].concat(),
        [&[1], values.join("\n").as_bytes()].concat(),
        b"\0[node]\nnmae = \"a\"\n[cluster]\nbootstrap_expect = 2\n".to_vec(),
    ]
}
