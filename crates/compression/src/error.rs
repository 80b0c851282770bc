//! Why bytes could not be compressed or decompressed.

use std::io;

use weir_types::{Codec, ErrorKind};

/// Why bytes could not be compressed or decompressed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The output passes the limit: a bomb, or a batch that is too large.
    #[error("{codec} data decompresses to more than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// The codec.
        codec: Codec,
        /// The limit given.
        limit_bytes: usize,
    },
    /// The input ends before its end mark.
    #[error("{codec} data is cut off")]
    CutOff {
        /// The codec.
        codec: Codec,
    },
    /// Something follows the compressed section.
    #[error("{extra} bytes follow the {codec} data")]
    TrailingBytes {
        /// The codec.
        codec: Codec,
        /// How many.
        extra: usize,
    },
    /// The input is not of this codec, or is damaged.
    #[error("{codec} data is malformed")]
    Malformed {
        /// The codec.
        codec: Codec,
        /// What the codec says.
        #[source]
        source: io::Error,
    },
    /// The codec refused to compress.
    #[error("{codec} cannot compress {bytes} bytes")]
    Compress {
        /// The codec.
        codec: Codec,
        /// Size of the input.
        bytes: usize,
        /// What the codec says.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// The stable code, as in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::Compress { .. } => "batch-too-large",
            Self::CutOff { .. } | Self::TrailingBytes { .. } | Self::Malformed { .. } => "batch-malformed",
        }
    }

    /// From what a decoder says of its input.
    pub(crate) fn malformed(codec: Codec, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        if source.kind() == io::ErrorKind::UnexpectedEof {
            Self::CutOff { codec }
        } else {
            Self::Malformed { codec, source }
        }
    }

    /// From what an encoder says of `bytes` of input.
    pub(crate) fn compress(codec: Codec, bytes: usize, source: impl Into<io::Error>) -> Self {
        Self::Compress { codec, bytes, source: source.into() }
    }
}
