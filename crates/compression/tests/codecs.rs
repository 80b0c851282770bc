//! Every codec against the same demands: round trips, bombs, cuts and garbage.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::Write;

use proptest::prelude::*;
use weir_compression::{Codec, Error, compress, decompress};

const COMPRESSING: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const MIB: usize = 1 << 20;

/// Text that compresses, over several blocks of every codec.
fn text() -> Vec<u8> {
    (0..20_000u32).flat_map(|line| format!("line {line} of {}\n", line % 7).into_bytes()).collect()
}

#[test]
fn text_shrinks_and_comes_back() {
    let text = text();
    for codec in COMPRESSING {
        let compressed = compress(codec, &text).unwrap();
        assert!(compressed.len() < text.len() * 2 / 3, "{codec}: {}", compressed.len());
        assert_eq!(decompress(codec, &compressed, text.len()).unwrap(), text, "{codec}");
    }
}

#[test]
fn output_of_exactly_the_limit_is_allowed_and_one_byte_more_is_not() {
    let text = text();
    for codec in Codec::ALL {
        let compressed = compress(codec, &text).unwrap();
        assert!(decompress(codec, &compressed, text.len()).is_ok(), "{codec}");
        let limit = text.len() - 1;
        assert!(
            matches!(decompress(codec, &compressed, limit), Err(Error::TooLarge { limit_bytes, .. }) if limit_bytes == limit),
            "{codec}"
        );
        assert!(matches!(decompress(codec, &compressed, 0), Err(Error::TooLarge { .. })), "{codec}");
    }
}

#[test]
fn a_bomb_is_refused_whatever_it_stands_for() {
    let zeros = vec![0; 64 * MIB];
    for codec in COMPRESSING {
        let bomb = compress(codec, &zeros).unwrap();
        assert!(bomb.len() < 4 * MIB, "{codec}: {}", bomb.len());
        assert!(matches!(decompress(codec, &bomb, MIB), Err(Error::TooLarge { .. })), "{codec}");
    }
}

#[test]
fn a_raw_snappy_block_that_states_four_gigabytes_is_refused_before_they_are_allocated() {
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, b'x'];
    assert!(matches!(decompress(Codec::Snappy, &bomb, MIB), Err(Error::TooLarge { .. })));
    // States 1 MiB, within the limit, but seven bytes cannot hold it.
    let liar = [0x80, 0x80, 0x40, 0x00, b'x'];
    assert!(matches!(decompress(Codec::Snappy, &liar, MIB), Err(Error::Malformed { .. })));
}

#[test]
fn a_zstd_frame_that_asks_for_a_window_of_128_mebibytes_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(b"small").unwrap();
    let frame = encoder.finish().unwrap();
    assert!(matches!(decompress(Codec::Zstd, &frame, MIB), Err(Error::Malformed { .. })));
}

#[test]
fn snappy_is_written_in_the_framing_of_the_kafka_clients_and_read_raw_as_well() {
    let compressed = compress(Codec::Snappy, b"hello hello hello").unwrap();
    assert_eq!(compressed[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let length = u32::from_be_bytes(*compressed[16..].first_chunk().unwrap());
    let raw = &compressed[20..];
    assert_eq!(length as usize, raw.len());
    assert_eq!(decompress(Codec::Snappy, raw, 100).unwrap(), &b"hello hello hello"[..]);
}

#[test]
fn every_cut_is_an_error() {
    let text = &text()[..100_000];
    for codec in COMPRESSING {
        let compressed = compress(codec, text).unwrap();
        for length in (0..compressed.len()).step_by(17).chain(compressed.len() - 20..compressed.len()) {
            // The framing of snappy-java has no end mark: a cut between two of its blocks cannot be told.
            match decompress(codec, &compressed[..length], MIB) {
                Err(_) => {}
                Ok(out) => {
                    assert!(codec == Codec::Snappy && out.len() % (32 << 10) == 0, "{codec} at {length}");
                }
            }
        }
    }
}

#[test]
fn an_lz4_frame_cut_between_two_blocks_is_an_error() {
    let compressed = compress(Codec::Lz4, &text()).unwrap();
    let first_block = u32::from_le_bytes(*compressed[7..].first_chunk().unwrap()) as usize;
    let cut = &compressed[..7 + 4 + first_block];
    assert!(matches!(decompress(Codec::Lz4, cut, MIB), Err(Error::CutOff { codec: Codec::Lz4 })));
}

#[test]
fn bytes_behind_the_end_are_an_error() {
    for codec in COMPRESSING {
        let compressed = [&compress(codec, b"text").unwrap()[..], b"????"].concat();
        assert!(decompress(codec, &compressed, MIB).is_err(), "{codec}");
    }
}

proptest! {
    #[test]
    fn any_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        for codec in Codec::ALL {
            let compressed = compress(codec, &bytes).unwrap();
            prop_assert_eq!(&decompress(codec, &compressed, bytes.len()).unwrap()[..], &bytes[..]);
        }
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for codec in Codec::ALL {
            let _ = decompress(codec, &bytes, 10_000);
        }
    }

    #[test]
    fn damage_never_panics_and_never_passes_the_limit(at in 0usize..4000, bits in 1u8..) {
        let text = &text()[..10_000];
        for codec in COMPRESSING {
            let mut compressed = compress(codec, text).unwrap().to_vec();
            let at = at % compressed.len();
            compressed[at] ^= bits;
            if let Ok(out) = decompress(codec, &compressed, 20_000) {
                prop_assert!(out.len() <= 20_000);
            }
        }
    }
}
