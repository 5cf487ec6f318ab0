//! `Accept-Encoding` (RFC 9110 section 12.5.3): what a client takes, and how gladly.

use super::Encoding;

/// The encoding of `offered` (the preferred first) that a client with these values of `Accept-Encoding` likes best.
/// `None`: the body as it is.
///
/// Without the field everything would be acceptable, but a client that wants something says so.
#[must_use]
pub fn negotiate<'v>(values: impl Iterator<Item = &'v [u8]>, offered: &[Encoding]) -> Option<Encoding> {
    let mut said = Said::default();
    for member in values.flat_map(|value| value.split(|byte| *byte == b',')) {
        said.note(member);
    }
    let mut best = None;
    for encoding in offered {
        let weight = said.weight(*encoding);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((*encoding, weight));
        }
    }
    // the body as it is, is only preferred where somebody says so
    best.filter(|(_, weight)| said.identity.is_none_or(|identity| *weight >= identity))
        .map(|(encoding, _)| encoding)
}

/// A weight in thousandths; 0 is a refusal.
type Weight = u16;

/// The weights that were given.
#[derive(Debug, Default)]
struct Said {
    brotli: Option<Weight>,
    zstd: Option<Weight>,
    gzip: Option<Weight>,
    identity: Option<Weight>,
    /// `*`: whatever has no weight of its own.
    others: Option<Weight>,
}

impl Said {
    fn note(&mut self, member: &[u8]) {
        let mut parts = member.split(|byte| *byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let place = match name {
            b"*" => &mut self.others,
            _ if name.eq_ignore_ascii_case(b"br") => &mut self.brotli,
            _ if name.eq_ignore_ascii_case(b"zstd") => &mut self.zstd,
            _ if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => &mut self.gzip,
            _ if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
            _ => return,
        };
        let weight = parts.find_map(quality).unwrap_or(WHOLE);
        // of two that contradict each other the lower one: what is not sent can't be wrong
        *place = Some(place.map_or(weight, |before| before.min(weight)));
    }

    fn weight(&self, encoding: Encoding) -> Weight {
        let own = match encoding {
            Encoding::Brotli => self.brotli,
            Encoding::Zstd => self.zstd,
            Encoding::Gzip => self.gzip,
        };
        own.or(self.others).unwrap_or(0)
    }
}

/// The weight in a parameter, if it is `q`. One that can't be read is a refusal.
fn quality(parameter: &[u8]) -> Option<Weight> {
    let parameter = parameter.trim_ascii();
    let (name, value) = parameter.split_at_checked(parameter.iter().position(|byte| *byte == b'=')?)?;
    if !name.trim_ascii().eq_ignore_ascii_case(b"q") {
        return None;
    }
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    Some(thousandths(value).unwrap_or(0))
}

/// `qvalue` of RFC 9110 section 12.4.2.
fn thousandths(text: &[u8]) -> Option<Weight> {
    let (whole, digits) = match text {
        [whole] => (whole, [].as_slice()),
        [whole, b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return None,
    };
    let mut weight = match whole {
        b'0' => 0,
        b'1' => WHOLE,
        _ => return None,
    };
    let mut unit = WHOLE / 10;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        weight += unit * Weight::from(digit - b'0');
        unit /= 10;
    }
    (weight <= WHOLE).then_some(weight)
}

const WHOLE: Weight = 1_000;
