//! Compiles `proto/` with `protox`, a compiler in Rust, so that no system `protoc` is needed.

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 6] = [
    "weir/v1/error.proto",
    "weir/v1/admin.proto",
    "weir/v1/stream.proto",
    "weir/v1/queue.proto",
    "weir/v1/group.proto",
    "weir/v1/peer.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [&root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("weir_descriptor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".weir.v1").compile_fds(descriptors)?;
    Ok(())
}
