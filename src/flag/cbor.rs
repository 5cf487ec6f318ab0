//! Deterministic CBOR (RFC 8949 section 4.2.1) of the values that flagd's third hashing takes.

use datalogic_rs::{DataValue, bumpalo::Bump, bumpalo::collections::Vec, datavalue::NumberValue};

const UNSIGNED: u8 = 0 << 5;
const NEGATIVE: u8 = 1 << 5;
const TEXT: u8 = 3 << 5;
const ARRAY: u8 = 4 << 5;
const MAP: u8 = 5 << 5;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const HALF: u8 = 0xf9;
const SINGLE: u8 = 0xfa;
const DOUBLE: u8 = 0xfb;

/// The head of an array of two: `[flag key, targeting key]`.
pub(super) const PAIR: [u8; 1] = [ARRAY | 2];

/// The head of a text: at most nine bytes, and how many of them count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    bytes: [u8; 9],
    used: usize,
}

impl Head {
    /// For a text of so many bytes.
    pub(super) fn text(text: &str) -> Self {
        Self::new(TEXT, text.len() as u64)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    fn new(major: u8, count: u64) -> Self {
        // The shortest form that holds the number (section 4.2.1).
        let (info, width) = match count {
            0..24 => (count as u8, 0),
            24..=0xff => (24, 1),
            0x100..=0xffff => (25, 2),
            0x1_0000..=0xffff_ffff => (26, 4),
            _ => (27, 8),
        };
        let mut bytes = [0; 9];
        let number = count.to_be_bytes();
        let digits = number.iter().skip(8 - width);
        for (to, from) in bytes
            .iter_mut()
            .zip(std::iter::once(&(major | info)).chain(digits))
        {
            *to = *from;
        }
        Self {
            bytes,
            used: 1 + width,
        }
    }
}

/// Encodes `value`. Whole floats become integers, as flagd's definition says.
pub(super) fn encode<'a>(value: &DataValue<'_>, arena: &'a Bump) -> &'a [u8] {
    let mut out = Vec::new_in(arena);
    write(value, &mut out, arena);
    out.into_bump_slice()
}

fn write(value: &DataValue<'_>, out: &mut Vec<'_, u8>, arena: &Bump) {
    let head = |out: &mut Vec<'_, u8>, major, count: usize| {
        out.extend_from_slice(Head::new(major, count as u64).as_bytes());
    };
    match value {
        DataValue::Null => out.push(NULL),
        DataValue::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        DataValue::Number(NumberValue::Integer(number)) => write_integer(i128::from(*number), out),
        DataValue::Number(NumberValue::Float(number)) => write_float(*number, out),
        DataValue::String(text) => {
            head(out, TEXT, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        DataValue::Array(items) => {
            head(out, ARRAY, items.len());
            for item in *items {
                write(item, out, arena);
            }
        }
        DataValue::Object(pairs) => {
            head(out, MAP, pairs.len());
            let mut sorted = Vec::from_iter_in(pairs.iter(), arena);
            // Texts sort by their encoded bytes: shorter first, then bytewise.
            sorted.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
            for (key, item) in sorted {
                head(out, TEXT, key.len());
                out.extend_from_slice(key.as_bytes());
                write(item, out, arena);
            }
        }
    }
}

/// `number` is between -2^63 and 2^64 - 1.
fn write_integer(number: i128, out: &mut Vec<'_, u8>) {
    let (major, count) = if number < 0 {
        (NEGATIVE, -1 - number)
    } else {
        (UNSIGNED, number)
    };
    out.extend_from_slice(Head::new(major, count as u64).as_bytes());
}

fn write_float(number: f64, out: &mut Vec<'_, u8>) {
    const BELOW_INTEGERS: f64 = 18_446_744_073_709_551_616.0; // 2^64
    const LOWEST_INTEGER: f64 = -9_223_372_036_854_775_808.0; // -2^63
    if number.fract() == 0.0 && (LOWEST_INTEGER..BELOW_INTEGERS).contains(&number) {
        return write_integer(number as i128, out);
    }
    let single = number as f32;
    if number.is_nan() {
        out.extend_from_slice(&[HALF, 0x7e, 0]);
    } else if f64::from(single) != number {
        out.push(DOUBLE);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Some(half) = exact_half(single) {
        out.push(HALF);
        out.extend_from_slice(&half.to_be_bytes());
    } else {
        out.push(SINGLE);
        out.extend_from_slice(&single.to_be_bytes());
    }
}

/// The IEEE 754 half-precision bits of `number`, if it is one.
fn exact_half(number: f32) -> Option<u16> {
    let bits = number.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let (exponent, fraction) = ((bits >> 23 & 0xff) as i32 - 127, bits & 0x7f_ffff);
    if number.is_infinite() {
        return Some(sign | 0x7c00);
    }
    if (-14..=15).contains(&exponent) && fraction & 0x1fff == 0 {
        return Some(sign | ((exponent + 15) as u16) << 10 | (fraction >> 13) as u16);
    }
    // Subnormal halves are whole multiples of 2^-24 below 2^-14.
    let steps = number.abs() * 16_777_216.0;
    (steps < 1024.0 && steps.fract() == 0.0).then_some(sign | steps as u16)
}
