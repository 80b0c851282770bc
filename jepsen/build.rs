//! Compiles the library that is put between a node and the C library.

use std::path::PathBuf;

fn main() {
    let source = "interpose/interpose.c";
    println!("cargo:rerun-if-changed={source}");
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo names a folder for what is built"));
    let mut command = cc::Build::new().opt_level(2).pic(true).warnings(true).get_compiler().to_command();
    command.arg("-shared").arg(source).arg("-ldl").arg("-o").arg(folder.join("interpose.so"));
    let status = command.status().expect("a C compiler can be run");
    assert!(status.success(), "{source} does not compile: {status}");
}
