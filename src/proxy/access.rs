//! What a backend is not told of a signed address, and what it is told of the viewer.

use http::HeaderValue;

use super::edge::Peer;
use crate::{
    fields::{Fields, Known},
    message::Head,
    observe::record::Record,
    policy::{
        access::Access,
        signed,
        viewer::{self, Connection, Facts, Tls},
    },
    snapshot::Snapshot,
};

/// Makes the head that a backend gets out of one that may be forwarded: without the parameters and cookies of a signature, where the route
/// asked for one, and with the fields about the viewer that the route names.
///
/// `record` knows the viewer's own fields, which the route may have taken out of the head by now.
pub(super) fn finish(head: &mut Head, access: &Access, peer: &Peer, record: &Record, at: &Snapshot) {
    if access.signed.is_some() {
        strip_parameters(head);
        strip_cookies(&mut head.headers);
    }
    if !access.viewer.is_empty() {
        tell(head, access, peer, record, at);
    }
}

/// Takes the signature out of what is written down: whoever read it there could use it until it ends.
pub(super) fn conceal(record: &mut Record) {
    const SIGNATURE: &str = "Signature=";
    let target = record.target.as_deref().unwrap_or_default();
    let Some((path, query)) = target.split_once('?') else {
        return;
    };
    let pieces = query.split('&').map(|piece| match piece.starts_with(SIGNATURE) {
        true => "Signature=***",
        false => piece,
    });
    let hidden = [path, "?", &pieces.collect::<Vec<_>>().join("&")].concat();
    record.target = Some(hidden.into());
}

/// Takes the whole query out of what is written down.
pub(super) fn conceal_query(record: &mut Record) {
    let target = record.target.as_deref().unwrap_or_default();
    if let Some((path, _)) = target.split_once('?') {
        record.target = Some(format!("{path}?***").into());
    }
}

fn strip_parameters(head: &mut Head) {
    let Some((path, query)) = head.target().split_once('?') else {
        return;
    };
    let mut kept = String::with_capacity(head.target().len());
    kept.push_str(path);
    for (at, piece) in signed::without_parameters(query).enumerate() {
        kept.push(if at == 0 { '?' } else { '&' });
        kept.push_str(piece);
    }
    if kept.len() != head.target().len() {
        head.set_target(kept);
    }
}

/// The cookies of a signature go, the others stay byte for byte and in order.
fn strip_cookies(headers: &mut Fields) {
    let pieces = |value: &[u8]| value.split(|byte| *byte == b';').any(is_of_signature);
    if !headers
        .get_all(Known::COOKIE)
        .any(|value| pieces(value.as_bytes()))
    {
        return;
    }
    headers.rewrite(Known::COOKIE, |value, kept| {
        let begin = kept.len();
        let others = value
            .split(|byte| *byte == b';')
            .filter(|piece| !is_of_signature(piece));
        for piece in others {
            if kept.len() == begin {
                kept.extend_from_slice(piece.trim_ascii_start());
            } else {
                kept.push(b';');
                kept.extend_from_slice(piece);
            }
        }
    });
}

fn is_of_signature(piece: &[u8]) -> bool {
    let name = piece.split(|byte| *byte == b'=').next().unwrap_or_default();
    str::from_utf8(name.trim_ascii()).is_ok_and(|name| signed::cookie_parameter(name).is_some())
}

fn tell(head: &mut Head, access: &Access, peer: &Peer, record: &Record, at: &Snapshot) {
    let fields = &mut head.headers;
    fields.retain(|name, _| name.known.is_some() || !viewer::is_reserved(name.as_str()));
    let wants_place = access.viewer.iter().any(|header| header.needs_database());
    let places = at.places.as_ref().filter(|_| wants_place);
    let client = record.client;
    let place = places.and_then(|places| places.place(client));
    let facts = Facts {
        client: Some(client),
        connection: Some(Connection {
            port: (client == peer.ip()).then(|| peer.address.port()),
            version: record.version,
            tls: peer.tls.as_deref().map(|tls| Tls {
                version: tls.version,
                cipher: tls.cipher.unwrap_or_default(),
                resumed: tls.resumed,
            }),
        }),
        user_agent: record.user_agent.as_ref().map_or(&[], HeaderValue::as_bytes),
        place: place.as_ref(),
    };
    for header in &access.viewer {
        if let Some(value) = header.value(&facts) {
            fields.insert(header.field(), value.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Version};

    use super::{strip_cookies, strip_parameters};
    use crate::{fields::Fields, message::Head};

    #[track_caller]
    fn check_target(target: &str, expected: &str) {
        let mut head = Head::new(Method::GET, target, Version::HTTP_11, Fields::new());
        strip_parameters(&mut head);
        assert_eq!(head.target(), expected);
    }

    #[test]
    fn parameters_of_a_signature_go_and_others_stay() {
        check_target("/a", "/a");
        check_target("/a?", "/a?");
        check_target("/a?x=1&y=%7e", "/a?x=1&y=%7e");
        check_target("/a?Expires=1&Signature=2&Key-Pair-Id=3", "/a");
        check_target(
            "/a?x=1&Policy=1&y=2&Signature=2&Key-Pair-Id=3&Hash-Algorithm=SHA1",
            "/a?x=1&y=2",
        );
        check_target("/a?Policy=1&x=?&&z", "/a?x=?&&z");
        check_target("/a?expires=1", "/a?expires=1");
    }

    #[track_caller]
    fn check_cookies(lines: &[&str], expected: &[&str]) {
        let mut fields = Fields::new();
        for line in lines {
            fields.append("cookie", line);
        }
        strip_cookies(&mut fields);
        let left: Vec<_> = fields
            .get_all("cookie")
            .map(|value| value.to_str().unwrap())
            .collect();
        assert_eq!(left, expected);
    }

    #[test]
    fn cookies_of_a_signature_go_and_others_stay() {
        check_cookies(&[], &[]);
        check_cookies(&["a=1;  b=2"], &["a=1;  b=2"]);
        check_cookies(
            &["CloudFront-Policy=x; CloudFront-Signature=y; CloudFront-Key-Pair-Id=z"],
            &[],
        );
        check_cookies(
            &[
                "a=1; CloudFront-Expires=1; b=2",
                "CloudFront-Signature=y",
                "CloudFront-Hash-Algorithm ; c",
            ],
            &["a=1; b=2", "c"],
        );
        check_cookies(
            &["CloudFront-Other=1; cloudfront-policy=2"],
            &["CloudFront-Other=1; cloudfront-policy=2"],
        );
    }
}
