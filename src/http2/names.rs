//! Whether a header block carries pseudo-header fields, told without decoding it (RFC 7541).
//!
//! `h2` drops pseudo-header fields from trailers silently; RFC 9113 section 8.1 calls such a message malformed. Only names matter
//! here, so the shadow of the dynamic table is one bit for each entry.

/// Entries that a dynamic table of [`super::HEADER_TABLE_BYTES`] can hold: an entry counts 32 bytes at least (RFC 7541 section 4.1).
const ENTRIES_MAX: usize = 128;
const _: () = assert!(super::HEADER_TABLE_BYTES as usize / 32 <= ENTRIES_MAX);

/// The static table's last index, and its last pseudo-header (RFC 7541 appendix A).
const STATIC_LAST: usize = 61;
const STATIC_PSEUDO_LAST: usize = 14;

/// The first seven bits of a Huffman-coded string that begins with a colon (RFC 7541 appendix B).
const HUFFMAN_COLON: u8 = 0b101_1100;

/// Follows a connection's header blocks, all of them and in order.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Bit n: whether the n-th newest entry's name begins with a colon.
    dynamic: u128,
}

impl Names {
    /// Whether `block` has a pseudo-header field. `None`: it can't be read, and `h2` will say so.
    pub(super) fn pseudo_in(&mut self, block: &[u8]) -> Option<bool> {
        let mut rest = block;
        let mut any = false;
        while let Some(&first) = rest.first() {
            let pseudo = if first & 0x80 != 0 {
                let index = integer(&mut rest, 7)?;
                self.is_pseudo(index)?
            } else if first & 0xe0 == 0x20 {
                integer(&mut rest, 5)?;
                false
            } else {
                let added = first & 0x40 != 0;
                let index = integer(&mut rest, if added { 6 } else { 4 })?;
                let pseudo = match index {
                    0 => name_is_pseudo(&mut rest)?,
                    _ => self.is_pseudo(index)?,
                };
                string(&mut rest)?;
                if added {
                    self.dynamic = self.dynamic << 1 | u128::from(pseudo);
                }
                pseudo
            };
            any |= pseudo;
        }
        Some(any)
    }

    fn is_pseudo(&self, index: usize) -> Option<bool> {
        match index {
            0 => None,
            1..=STATIC_PSEUDO_LAST => Some(true),
            15..=STATIC_LAST => Some(false),
            _ => {
                let age = index - STATIC_LAST - 1;
                (age < ENTRIES_MAX).then(|| self.dynamic >> age & 1 == 1)
            }
        }
    }
}

fn name_is_pseudo(rest: &mut &[u8]) -> Option<bool> {
    let huffman = rest.first()? & 0x80 != 0;
    let first = *string(rest)?.first()?;
    Some(match huffman {
        true => first >> 1 == HUFFMAN_COLON,
        false => first == b':',
    })
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = integer(rest, 7)?;
    let (string, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(string)
}

/// RFC 7541 section 5.1. Longer than four bytes is no length or index that could be honest.
fn integer(rest: &mut &[u8], prefix_bits: u32) -> Option<usize> {
    let (first, mut behind) = rest.split_first()?;
    let mask = (1_usize << prefix_bits) - 1;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        for shift in [0, 7, 14, 21] {
            let (byte, more) = behind.split_first()?;
            behind = more;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *rest = behind;
                return Some(value);
            }
        }
        return None;
    }
    *rest = behind;
    Some(value)
}
