//! The library between a node and the C library: the harness's end of it. The other end, and the layout of the file
//! between them, is `interpose/interpose.c`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Result, Tried as _};

/// The library, compiled with the harness.
static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/interpose.so"));

/// The variable that names the control file to the library.
const VARIABLE: &str = "WEIR_INTERPOSE";
const MAGIC: u64 = u64::from_le_bytes(*b"WEIRFLT1");
const AT_COUNTS: u64 = 8;
const AT_CLOCK: u64 = 40;
const AT_SCOPE: u64 = 48;
const SCOPE_BYTES: usize = 256;
const AT_FAULTS: u64 = AT_SCOPE + SCOPE_BYTES as u64;
/// Size of the file: more than the library maps.
const BYTES: u64 = 512;

/// `EIO`.
pub const INPUT_OUTPUT_ERROR: u32 = 5;
/// `ENOSPC`.
pub const NO_SPACE: u32 = 28;

/// What is wrong with a node's files. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileFaults {
    /// Writes, and whatever else takes space, fail with this number of `errno`; 0 is none.
    pub write_error: u32,
    /// Syncs fail with it.
    pub sync_error: u32,
    /// Reads fail with it.
    pub read_error: u32,
    /// Syncs take so much longer; up to an hour.
    pub sync_delay: Duration,
    /// Writes take so much longer; up to an hour.
    pub write_delay: Duration,
    /// Syncs do not return until this is false.
    pub sync_hangs: bool,
    /// Syncs return at once and do nothing.
    pub sync_lies: bool,
    /// The next write writes so many thousandths of its bytes, and the process is killed; 0 is none.
    pub torn_permille: u32,
}

/// What the library counted since the control file was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Times that a moved wall clock was read.
    pub clock_reads: u64,
    /// Syncs, of all files.
    pub syncs: u64,
    /// Syncs that met a fault.
    pub syncs_faulted: u64,
    /// Writes that met a fault.
    pub writes_faulted: u64,
}

/// The control file of one node.
#[derive(Debug)]
pub struct Interposer {
    library: PathBuf,
    control: PathBuf,
    file: File,
}

impl Interposer {
    /// Puts the library and a control file into a folder. Disk faults will concern files below `scope`, a path with at
    /// most 255 bytes.
    pub fn prepare(folder: &Path, scope: &Path) -> Result<Self> {
        let library = folder.join("interpose.so");
        fs::write(&library, LIBRARY).at("writing", &library)?;
        let control = folder.join("control");
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&control)
            .at("making", &control)?;
        file.set_len(BYTES).at("sizing", &control)?;
        file.write_all_at(&MAGIC.to_le_bytes(), 0).at("writing", &control)?;
        let interposer = Self { library, control, file };
        interposer.set_scope(scope)?;
        Ok(interposer)
    }

    /// What a process needs in its environment to be under its control.
    pub fn variables(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), (VARIABLE, &self.control)]
    }

    /// Names the files that faults concern from now on: those whose path contains this text.
    pub fn set_scope(&self, scope: &Path) -> Result<()> {
        let mut bytes = [0; SCOPE_BYTES];
        let text = scope.as_os_str().as_encoded_bytes();
        // The last byte stays zero: it is the text's end.
        bytes.iter_mut().take(SCOPE_BYTES - 1).zip(text).for_each(|(to, from)| *to = *from);
        self.write(AT_SCOPE, &bytes)
    }

    /// Sets what is wrong with the files, at once.
    pub fn set(&self, faults: &FileFaults) -> Result<()> {
        let micros = |time: Duration| time.min(Duration::from_hours(1)).as_micros() as u32;
        let numbers = [
            faults.write_error,
            faults.sync_error,
            faults.read_error,
            micros(faults.sync_delay),
            micros(faults.write_delay),
            u32::from(faults.sync_hangs),
            u32::from(faults.sync_lies),
            faults.torn_permille,
            u32::from(*faults != FileFaults::default()),
        ];
        self.write(AT_FAULTS, &numbers.map(u32::to_le_bytes).concat())
    }

    /// Moves the wall clock by so many nanoseconds from the host's.
    pub fn set_clock(&self, offset_ns: i64) -> Result<()> {
        self.write(AT_CLOCK, &offset_ns.to_le_bytes())
    }

    /// What was counted.
    pub fn counts(&self) -> Result<Counts> {
        let mut bytes = [0; 32];
        self.file.read_exact_at(&mut bytes, AT_COUNTS).at("reading", &self.control)?;
        let (numbers, _) = bytes.as_chunks::<8>();
        let [clock_reads, syncs, syncs_faulted, writes_faulted] =
            [0, 1, 2, 3].map(|place: usize| u64::from_le_bytes(numbers[place]));
        Ok(Counts { clock_reads, syncs, syncs_faulted, writes_faulted })
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, at).at("writing", &self.control)
    }
}
