//! Forms and queries as browsers and OAuth write them (`application/x-www-form-urlencoded`), read and written.

/// Most pairs that are looked at in one form.
const PAIRS_MAX: usize = 64;

/// The pairs of a form, decoded. `None`: too many, or not UTF-8 once decoded.
#[must_use]
pub fn pairs(form: &str) -> Option<Vec<(String, String)>> {
    let pieces = form.split('&').filter(|piece| !piece.is_empty());
    let mut pairs = Vec::new();
    for piece in pieces {
        if pairs.len() >= PAIRS_MAX {
            return None;
        }
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        pairs.push((decode(name)?, decode(value)?));
    }
    Some(pairs)
}

/// The value of `name`, if it stands there exactly once: of two, two readers could take different ones.
#[must_use]
pub fn single<'p>(pairs: &'p [(String, String)], name: &str) -> Option<&'p str> {
    let mut found = pairs.iter().filter(|(given, _)| given == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

/// Whether `name` stands there more than once.
#[must_use]
pub fn is_repeated(pairs: &[(String, String)], name: &str) -> bool {
    pairs.iter().filter(|(given, _)| given == name).count() > 1
}

/// Writes pairs as a form.
#[must_use]
pub fn write(pairs: &[(&str, &str)]) -> String {
    let mut form = String::new();
    for (name, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        encode(name, &mut form);
        form.push('=');
        encode(value, &mut form);
    }
    form
}

/// `address` with these pairs in its query, behind what is there already.
#[must_use]
pub fn with_query(address: &str, pairs: &[(&str, &str)]) -> String {
    let mark = match address.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{address}{mark}{}", write(pairs))
}

/// One text in such an encoding: everything but letters, digits and `-._~` as `%XX`, a space too.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    encode(text, &mut out);
    out
}

fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{is_repeated, pairs, single, with_query, write};

    #[test]
    fn what_is_written_is_read_again() {
        let given = [("state", "a b+c&d=e%"), ("이름", "값\n"), ("empty", "")];
        let form = write(&given);
        let read = pairs(&form).unwrap();
        let read: Vec<(&str, &str)> = read.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(read, given);
        assert!(!form.contains([' ', '+', '\n']), "{form}");
    }

    #[test]
    fn broken_and_doubled_pairs_are_told_apart() {
        assert!(pairs("a=%").is_none() && pairs("a=%f").is_none() && pairs("a=%ff").is_none());
        let doubled = pairs("code=1&code=2&state=3+4").unwrap();
        assert_eq!(single(&doubled, "code"), None);
        assert!(is_repeated(&doubled, "code"));
        assert_eq!(single(&doubled, "state"), Some("3 4"));
        assert!(pairs(&"a=1&".repeat(65)).is_none());
    }

    #[test]
    fn a_query_is_added_behind_what_is_there() {
        assert_eq!(
            with_query("https://id/auth", &[("a", "1")]),
            "https://id/auth?a=1"
        );
        assert_eq!(
            with_query("https://id/auth?p=x", &[("a", "1")]),
            "https://id/auth?p=x&a=1"
        );
        assert_eq!(
            with_query("https://id/auth?", &[("a", "/")]),
            "https://id/auth?a=%2F"
        );
    }
}
