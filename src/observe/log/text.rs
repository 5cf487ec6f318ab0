//! Text and numbers as lines hold them, several bytes at once where nearly all are plain.

use std::{io::Write, net::IpAddr};

/// Whether all of it is printable ASCII that a JSON string may hold as it is.
///
/// Eight bytes at once, without an early end: nearly every text is plain. The last eight overlap those before.
pub(super) fn is_plain(text: &[u8]) -> bool {
    let odd = if let Some(last) = text.last_chunk::<8>() {
        let (words, _) = text.as_chunks::<8>();
        let last = odd_bits(u64::from_ne_bytes(*last));
        let words = words.iter().map(|word| odd_bits(u64::from_ne_bytes(*word)));
        words.fold(last, |odd, more| odd | more)
    } else if let (Some([a, b, c, d]), Some([e, f, g, h])) = (text.first_chunk(), text.last_chunk()) {
        odd_bits(u64::from_ne_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
    } else {
        let odd = |odd, byte: &u8| odd | odd_bits(EACH * u64::from(*byte));
        text.iter().fold(0, odd)
    };
    odd & (0x80 * EACH) == 0
}

/// One in each of eight bytes.
const EACH: u64 = 0x0101_0101_0101_0101;

/// Sets the highest bit of some byte exactly if one of the eight is not plain. Carries and borrows reach another byte only from
/// one that is not.
const fn odd_bits(word: u64) -> u64 {
    let control = word.wrapping_sub(0x20 * EACH);
    let delete = word.wrapping_add(EACH);
    let quote = (word ^ (b'"' as u64 * EACH)).wrapping_sub(EACH);
    let backslash = (word ^ (b'\\' as u64 * EACH)).wrapping_sub(EACH);
    word | control | delete | quote | backslash
}

/// Quotes, backslashes and control characters escaped (RFC 8259 section 7); clean stretches are copied whole.
pub(super) fn escape_json(text: &[u8], to: &mut Vec<u8>) {
    const fn is_escaped(byte: u8) -> bool {
        byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f)
    }
    if is_plain(text) {
        to.extend_from_slice(text);
        return;
    }
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| is_escaped(*byte)) {
        let (clean, odd) = rest.split_at(at);
        to.extend_from_slice(clean);
        let Some((byte, after)) = odd.split_first() else {
            return;
        };
        match byte {
            b'"' => to.extend_from_slice(b"\\\""),
            b'\\' => to.extend_from_slice(b"\\\\"),
            b'\n' => to.extend_from_slice(b"\\n"),
            b'\r' => to.extend_from_slice(b"\\r"),
            b'\t' => to.extend_from_slice(b"\\t"),
            _ => {
                to.extend_from_slice(b"\\u00");
                write_hex(*byte, to);
            }
        }
        rest = after;
    }
    to.extend_from_slice(rest);
}

/// Quotes, backslashes and all that is not printable ASCII as `\xHH`: nginx's escaping, which GoAccess and others read.
pub(super) fn escape_ncsa(text: &[u8], to: &mut Vec<u8>) {
    for byte in text {
        if matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\') {
            to.push(*byte);
        } else {
            to.extend_from_slice(b"\\x");
            write_hex(*byte, to);
        }
    }
}

pub(super) fn write_hex(byte: u8, to: &mut Vec<u8>) {
    for nibble in [byte >> 4, byte & 15] {
        to.push(if nibble < 10 {
            b'0' + nibble
        } else {
            b'A' + nibble - 10
        });
    }
}

/// As `Display` writes it; most are IPv4, and this is ten times as fast.
pub(super) fn write_address(address: IpAddr, to: &mut Vec<u8>) {
    let IpAddr::V4(address) = address else {
        let _ = write!(to, "{address}");
        return;
    };
    let [first, rest @ ..] = address.octets();
    write_small(first, to);
    for part in rest {
        to.push(b'.');
        write_small(part, to);
    }
}

/// Every byte's digits, and how many they are.
const SMALL: [([u8; 3], u8); 256] = small();

#[expect(clippy::indexing_slicing, reason = "it runs when this is compiled")]
const fn small() -> [([u8; 3], u8); 256] {
    let mut all = [([0; 3], 0); 256];
    let mut number: u8 = 0;
    loop {
        let (hundreds, tens, ones) = (b'0' + number / 100, b'0' + number / 10 % 10, b'0' + number % 10);
        all[number as usize] = match number {
            0..10 => ([ones, 0, 0], 1),
            10..100 => ([tens, ones, 0], 2),
            100.. => ([hundreds, tens, ones], 3),
        };
        if number == u8::MAX {
            return all;
        }
        number += 1;
    }
}

/// Three bytes at once, with what is too much cut off.
#[inline]
fn write_small(number: u8, to: &mut Vec<u8>) {
    if let Some((text, digits)) = SMALL.get(usize::from(number)) {
        let end = to.len() + usize::from(*digits);
        to.extend_from_slice(text);
        to.truncate(end);
    }
}

/// As `Display` writes it. Up to eight digits are made in one word and copied whole, with what is too much cut off.
pub(super) fn write_number(value: u64, to: &mut Vec<u8>) {
    if let Ok(small) = u8::try_from(value) {
        write_small(small, to);
        return;
    }
    if value >= 100_000_000 {
        to.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        return;
    }
    let digits = eight_digits(value);
    let zeros = (digits.trailing_zeros() / 8).min(7);
    let text = (digits | 0x3030_3030_3030_3030) >> (8 * zeros);
    let end = to.len() + 8 - zeros as usize;
    to.extend_from_slice(&text.to_le_bytes());
    to.truncate(end);
}

/// The digits of a number below 10^8, a byte each, the first in the lowest: halves, then quarters, then eighths side by side.
const fn eight_digits(value: u64) -> u64 {
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - 10 * tens) << 8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_odd_byte_anywhere_is_seen() {
        for length in 0..40 {
            let mut text = vec![b'a'; length];
            assert!(is_plain(&text), "{length}");
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    text[at] = byte;
                    let plain = matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
                    assert_eq!(is_plain(&text), plain, "{byte} at {at} of {length}");
                }
                text[at] = b'~';
            }
        }
    }

    #[track_caller]
    fn check(number: u64) {
        let mut text = b"n".to_vec();
        write_number(number, &mut text);
        assert_eq!(String::from_utf8(text).unwrap(), format!("n{number}"));
    }

    #[test]
    fn numbers_around_every_length_are_written_whole() {
        (0..20_000).for_each(check);
        for power in 1..20 {
            let ten = 10_u64.pow(power);
            [ten - 1, ten, ten + 1].into_iter().for_each(check);
        }
        check(u64::MAX);
    }

    proptest! {
        #[test]
        fn numbers_and_addresses_are_written_as_display_does(number: u64, shift in 0..64_u32, address: [u8; 4]) {
            check(number >> shift);
            let mut text = Vec::new();
            write_address(address.into(), &mut text);
            prop_assert_eq!(String::from_utf8(text).unwrap(), IpAddr::from(address).to_string());
        }
    }
}
