//! The Huffman code of strings (RFC 7541 section 5.2 and appendix B).

use bytes::BytesMut;

/// Symbols: each byte, and the end of a string, which never stands in one.
const SYMBOLS: usize = 257;
const END: u16 = 256;

/// Bits of the longest code.
const BITS_MAX: usize = 30;

/// The fewest bits of a code: a string grows at most by 8/5.
const BITS_MIN: usize = 5;

/// Bits of each symbol's code. The code is canonical, so they tell the codes too: shorter ones first, then by symbol.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// Bits that are looked up at once: all of visible ASCII that is frequent has eight at most.
const FAST_BITS: usize = 8;

/// Code of each symbol.
const CODES: [u32; SYMBOLS] = CANONICAL.codes;

/// By the next [`FAST_BITS`]: the symbol, shifted by four, and its bits. 0: the code is longer.
static FAST: [u16; 1 << FAST_BITS] = CANONICAL.fast;

/// By length: the first 32 bits behind which no code of that length begins, and what to add to a code for its place in [`ORDER`].
static LONG: [(u64, i64); BITS_MAX + 1] = CANONICAL.long;

/// Symbols, shorter codes first.
static ORDER: [u16; SYMBOLS] = CANONICAL.order;

struct Canonical {
    codes: [u32; SYMBOLS],
    fast: [u16; 1 << FAST_BITS],
    long: [(u64, i64); BITS_MAX + 1],
    order: [u16; SYMBOLS],
}

const CANONICAL: Canonical = canonical();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "runs at compile time only: a wrong index would not compile"
)]
const fn canonical() -> Canonical {
    let mut made = Canonical {
        codes: [0; SYMBOLS],
        fast: [0; 1 << FAST_BITS],
        long: [(0, 0); BITS_MAX + 1],
        order: [0; SYMBOLS],
    };
    let (mut code, mut placed, mut bits) = (0_u32, 0, 1);
    while bits <= BITS_MAX {
        let difference = placed as i64 - code as i64;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == bits {
                made.codes[symbol] = code;
                made.order[placed] = symbol as u16;
                if bits <= FAST_BITS {
                    let spare = FAST_BITS - bits;
                    let mut rest = 0;
                    while rest < 1 << spare {
                        made.fast[((code as usize) << spare) + rest] = (symbol as u16) << 4 | bits as u16;
                        rest += 1;
                    }
                }
                code += 1;
                placed += 1;
            }
            symbol += 1;
        }
        made.long[bits] = ((code as u64) << (32 - bits), difference);
        code <<= 1;
        bits += 1;
    }
    made
}

/// Appends what `coded` says to `out`. `None`: it is no string; `out` may then hold a part of it.
pub(super) fn decode(coded: &[u8], out: &mut BytesMut) -> Option<()> {
    let begin = out.len();
    out.resize(begin + coded.len() * 8 / BITS_MIN, 0);
    let written = decode_into(coded, out.get_mut(begin..)?)?;
    out.truncate(begin + written);
    Some(())
}

fn decode_into(mut coded: &[u8], out: &mut [u8]) -> Option<usize> {
    let room = out.len();
    let mut places = out.iter_mut();
    // The next bits, from the highest on.
    let (mut next, mut have) = (0_u64, 0_u32);
    loop {
        if have <= 32 {
            if let Some((four, rest)) = coded.split_first_chunk::<4>() {
                next |= u64::from(u32::from_be_bytes(*four)) << (32 - have);
                have += 32;
                coded = rest;
            } else {
                for byte in std::mem::take(&mut coded) {
                    next |= u64::from(*byte) << (56 - have);
                    have += 8;
                }
            }
        }
        let (symbol, bits) = symbol_of(next)?;
        if bits > have {
            break;
        }
        *places.next()? = u8::try_from(symbol).ok()?; // not the end of a string
        next <<= bits;
        have -= bits;
    }
    // What is left fills up the last byte, with ones.
    let filled = have < 8 && next == !(u64::MAX >> have);
    filled.then(|| room - places.len())
}

/// The symbol whose code begins `next`, and its bits.
fn symbol_of(next: u64) -> Option<(u16, u32)> {
    let fast = FAST
        .get(usize::try_from(next >> (64 - FAST_BITS)).ok()?)
        .copied()?;
    if fast != 0 {
        return Some((fast >> 4, u32::from(fast & 15)));
    }
    let window = next >> 32;
    let mut bits = FAST_BITS + 1;
    loop {
        let (limit, difference) = LONG.get(bits).copied()?;
        if window < limit {
            let code = i64::try_from(window >> (32 - bits)).ok()?;
            let symbol = ORDER.get(usize::try_from(code + difference).ok()?).copied()?;
            return Some((symbol, u32::try_from(bits).ok()?));
        }
        bits += 1;
        if bits > BITS_MAX {
            return Some((END, BITS_MAX as u32)); // 32 ones: only the end of a string begins so
        }
    }
}

/// Appends `text` in code to `out`.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut pending, mut have) = (0_u64, 0_u32);
    for byte in text {
        let symbol = usize::from(*byte);
        let (Some(code), Some(bits)) = (CODES.get(symbol), LENGTHS.get(symbol)) else {
            continue;
        };
        pending = pending << bits | u64::from(*code);
        have += u32::from(*bits);
        while have >= 8 {
            have -= 8;
            out.extend((pending >> have).to_be_bytes().last());
        }
    }
    if have > 0 {
        let filled = pending << (8 - have) | (0xff >> have);
        out.extend(filled.to_be_bytes().last());
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::{CODES, END, LENGTHS, decode, encode};

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut out = BytesMut::from(&b"before"[..]);
        decode(coded, &mut out)?;
        Some(out[6..].to_vec())
    }

    #[test]
    fn every_byte_survives_alone_and_among_others() {
        for byte in 0..=255_u8 {
            for text in [vec![byte], vec![byte; 3], vec![b'a', byte, b'0', byte]] {
                let mut coded = Vec::new();
                encode(&text, &mut coded);
                assert_eq!(decoded(&coded), Some(text));
            }
        }
    }

    /// RFC 7541 appendix C.4.1 and C.6.1.
    #[test]
    fn the_examples_of_the_rfc_hold() {
        let coded = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(decoded(&coded), Some(b"www.example.com".to_vec()));
        assert_eq!(decoded(&[0x64, 0x02]), Some(b"302".to_vec()));
        assert_eq!(
            (CODES[usize::from(END)], LENGTHS[usize::from(END)]),
            (0x3fff_ffff, 30)
        );
        assert_eq!((CODES[0], CODES[255]), (0x1ff8, 0x3ff_ffee));
    }

    #[test]
    fn padding_is_ones_and_shorter_than_a_byte() {
        for wrong in [&[0x1f, 0xff][..], &[0x00], &[0xff], &[0xff; 4], &[0xff; 8]] {
            assert_eq!(decoded(wrong), None, "{wrong:x?}");
        }
        assert_eq!(decoded(&[]), Some(Vec::new()));
        assert_eq!(decoded(&[0x07]), Some(b"0".to_vec()));
    }

    proptest! {
        #[test]
        fn any_text_survives(text: Vec<u8>) {
            let mut coded = Vec::new();
            encode(&text, &mut coded);
            prop_assert_eq!(decoded(&coded), Some(text));
        }

        #[test]
        fn what_can_be_decoded_is_the_code_of_what_it_says(coded: Vec<u8>) {
            if let Some(text) = decoded(&coded) {
                let mut again = Vec::new();
                encode(&text, &mut again);
                prop_assert_eq!(again, coded);
            }
        }
    }
}
