//! What the tests of the whole need: they see Weir from outside, through `cargo metadata`, the built binary and
//! the client library. Tests of one crate live in that crate.
//!
//! | file | holds |
//! |---|---|
//! | `tests/architecture.rs` | the layer table: who may depend on whom, who owns which third-party crate |

#![forbid(unsafe_code)]
