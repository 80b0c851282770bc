//! Every codec: bounded by its limit, and exact.

use weir_compression::{Codec, compress, decompress};

use crate::input::Input;

/// Nothing is decompressed beyond its limit, or with bytes left over; what was compressed comes back, and not when it
/// is cut off.
pub fn law(data: &[u8]) {
    let mut input = Input::new(data);
    let codec = Codec::ALL[usize::from(input.u8()) % Codec::ALL.len()];
    let limit = usize::from(input.u16()) << 6;
    let bytes = input.rest();
    if let Ok(out) = decompress(codec, bytes, limit) {
        assert!(out.len() <= limit, "{} bytes pass the limit of {limit}", out.len());
        if codec != Codec::None {
            let extended = [bytes, &[0xa5]].concat();
            assert!(decompress(codec, &extended, limit).is_err(), "a byte behind the end");
        }
    }
    let compressed = compress(codec, bytes).expect("everything compresses");
    assert_eq!(decompress(codec, &compressed, bytes.len()).expect("what was compressed"), bytes);
    if let Some(short) = bytes.len().checked_sub(1) {
        assert!(decompress(codec, &compressed, short).is_err(), "one byte over the limit");
        let cut = &compressed[..compressed.len() - 1];
        assert!(codec == Codec::None || decompress(codec, cut, bytes.len()).is_err(), "cut off");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let text = b"to be or not to be, that is the question: to be or not to be".repeat(4);
    let head = |codec: Codec| [codec.number(), 1, 0];
    let small = Codec::ALL.map(|codec| {
        let bytes = compress(codec, &text).expect("it compresses");
        [&head(codec)[..], &bytes].concat()
    });
    let bombs = Codec::ALL[1..].iter().map(|codec| {
        let bytes = compress(*codec, &vec![0; 100_000]).expect("it compresses");
        [&head(*codec)[..], &bytes[..bytes.len().min(400)]].concat()
    });
    small.into_iter().chain(bombs).collect()
}
