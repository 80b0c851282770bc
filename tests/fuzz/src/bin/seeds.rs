//! Writes the seeds of every target anew, below `seeds/`. Inputs with other names stay: they once broke a law.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for target in weir_fuzz::TARGETS {
        let folder = all.join(target.name);
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("seed-") {
                fs::remove_file(entry.path())?;
            }
        }
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed)?;
        }
    }
    Ok(())
}
