//! The wire types of Weir's gRPC API, generated from `proto/weir/v1`, and conversions of errors, kinds and
//! policies to and from `weir-types`. No logic: the meaning of each field is documented in the proto files.

mod convert;

/// Generated messages, clients and servers of package `weir.v1`.
#[expect(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    missing_docs,
    unused_qualifications,
    reason = "generated code; the proto files carry the documentation"
)]
pub mod v1 {
    tonic::include_proto!("weir.v1");
}

pub use convert::{ERROR_TRAILER, error_from_status, error_to_status};

/// The compiled descriptors of every proto file, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/weir_descriptor.bin"));
