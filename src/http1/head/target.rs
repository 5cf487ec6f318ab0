//! Request targets: origin-form as it came, absolute-form reduced to it, the rest refused (RFC 9112 section 3.2).

use http::Method;

use super::host::{Authority, authority};
use crate::wire::Malformed;

/// What is left of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reduced {
    /// All of it from this byte on.
    Piece {
        /// The byte.
        from: usize,
    },
    /// Something else, written anew.
    Other(Box<str>),
}

/// Finds the target that a service sees: path and query as received, or `*`.
///
/// # Errors
/// A target of no known form, with an octet that no URI has, or that contradicts `host`.
pub(super) fn reduce(method: &Method, target: &[u8], host: Authority<'_>) -> Result<Reduced, Malformed> {
    if target.len() > TARGET_BYTES_MAX || !is_target(target) {
        return Err(Malformed::bad("target-octet"));
    }
    let reduced = if target.first() == Some(&b'/') {
        Reduced::Piece { from: 0 }
    } else if target == b"*" {
        if method != Method::OPTIONS {
            return Err(Malformed::bad("target-asterisk"));
        }
        Reduced::Piece { from: 0 }
    } else {
        absolute(method, target, host)?
    };
    Ok(reduced)
}

/// Longest target that everything behind can name.
const TARGET_BYTES_MAX: usize = u16::MAX as usize - 1;

/// Visible ASCII without what must be escaped everywhere, and in a path not even the little that browsers leave in a query.
fn is_target(target: &[u8]) -> bool {
    let query = target
        .iter()
        .position(|byte| *byte == b'?')
        .unwrap_or(target.len());
    let (path, query) = target.split_at_checked(query).unwrap_or_default();
    let visible = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'<' | b'>');
    path.iter().all(|byte| visible(byte) && *byte != b'`')
        && query.iter().all(|byte| visible(byte) && *byte != b'"')
}

fn absolute(method: &Method, target: &[u8], host: Authority<'_>) -> Result<Reduced, Malformed> {
    let (scheme_len, port_default) = if starts_with(target, b"http://") {
        (7, 80)
    } else if starts_with(target, b"https://") {
        (8, 443)
    } else {
        return Err(Malformed::bad("target-form"));
    };
    let rest = target.get(scheme_len..).unwrap_or_default();
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (name, path) = rest.split_at_checked(end).ok_or(Malformed::bad("target-form"))?;
    let named = authority(name).ok_or(Malformed::bad("target-authority"))?;
    if !named.same_as(host, port_default) {
        return Err(Malformed::bad("target-unlike-host"));
    }
    Ok(match path.first() {
        None if method == Method::OPTIONS => Reduced::Other("*".into()), // RFC 9112 section 3.2.4
        None => Reduced::Other("/".into()),
        Some(b'?') => Reduced::Other(format!("/{}", String::from_utf8_lossy(path)).into()),
        Some(_) => Reduced::Piece {
            from: scheme_len + end,
        },
    })
}

fn starts_with(target: &[u8], scheme: &[u8]) -> bool {
    target
        .get(..scheme.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;

    use super::is_target;

    /// HTTP/2 and admin API read targets with `http`: one reading of every target.
    #[test]
    fn a_target_is_what_http_takes_for_one() {
        for byte in 0..=255_u8 {
            for target in [
                vec![b'/', byte],
                vec![b'/', b'?', byte],
                vec![b'/', b'?', b'?', byte],
            ] {
                let theirs = byte.is_ascii() && byte != b'#' && PathAndQuery::try_from(&target[..]).is_ok();
                assert_eq!(is_target(&target), theirs, "{target:?}");
            }
        }
    }
}
