//! The address that is asked for, and whether a signed resource takes it.

/// The address that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// The host as it was judged: lower case, no port.
    pub host: &'a str,
    /// The path that is matched and forwarded.
    pub path: &'a str,
    /// The path as it was received.
    pub received: &'a str,
    /// The query as received.
    pub query: Option<&'a str>,
}

impl Address<'_> {
    /// The address as its signer wrote it, without the parameters of the signature.
    #[must_use]
    pub fn spelt(&self) -> String {
        let path = if is_only_respelt(self.received) {
            self.received
        } else {
            self.path
        };
        self.with(path, self.plain_query().as_deref())
    }

    /// Whether a signed resource, which may have wildcards, takes the address.
    #[must_use]
    pub fn is_in(&self, resource: &str) -> bool {
        let query = self.plain_query();
        let query = query.as_deref();
        if self.path != self.received && resource == self.spelt() {
            return true;
        }
        let Some((scheme, rest)) = resource.split_once("://") else {
            return resource.starts_with('*') && fits(resource, &self.with(self.path, None), query);
        };
        if !wild(scheme, SCHEME) {
            return false;
        }
        match rest.find('/').and_then(|at| rest.split_at_checked(at)) {
            Some((host, path)) => wild(host, self.host) && fits(path, self.path, query),
            // Without a path it is for one only if it leaves it open.
            None => rest.ends_with('*') && fits(rest, &format!("{}{}", self.host, self.path), query),
        }
    }

    fn with(&self, path: &str, query: Option<&str>) -> String {
        let (mark, query) = query.map_or(("", ""), |query| ("?", query));
        [SCHEME, "://", self.host, path, mark, query].concat()
    }

    /// The query without the parameters of the signature; `None` if nothing is left.
    fn plain_query(&self) -> Option<String> {
        let mut plain = String::new();
        for (at, piece) in super::without_parameters(self.query?).enumerate() {
            if at > 0 {
                plain.push('&');
            }
            plain.push_str(piece);
        }
        (!plain.is_empty()).then_some(plain)
    }
}

/// Visitors ask over TLS; who doesn't is redirected, and inside the network an address is still the public one.
const SCHEME: &str = "https";

/// Whether a path that has a canonical form differs from it in escapes alone: no segment comes, goes or moves.
fn is_only_respelt(path: &str) -> bool {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if matches!(segment, "." | "..") || (segment.is_empty() && !last) {
            return false;
        }
    }
    true
}

/// Whether a pattern takes a text with its query. The part of the pattern that speaks of the query begins with a `?`; a pattern
/// without such a part takes a query only if it ends in `*`.
fn fits(pattern: &str, text: &str, query: Option<&str>) -> bool {
    let Some(query) = query else {
        return wild(pattern, text);
    };
    let parted = pattern.match_indices('?').any(|(at, mark)| {
        let about_query = pattern.get(at + mark.len()..).unwrap_or_default();
        let about_text = pattern.get(..at).unwrap_or_default();
        wild(about_text, text) && wild(about_query, query)
    });
    parted || (pattern.ends_with('*') && wild(pattern, text))
}

/// Whether a pattern takes a text whole: `*` is any number of characters, `?` is one. A failure goes back to the last `*` alone, so the
/// cost is at most the product of both lengths.
pub(super) fn wild(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', after)), _) => {
                retry = Some((after, text));
                pattern = after;
            }
            (Some((byte, after)), Some((wanted, left))) if byte == wanted || *byte == b'?' => {
                pattern = after;
                text = left;
            }
            (None, None) => return true,
            _ => {
                // One character more for the last `*`.
                let Some((after, left)) = retry else { return false };
                let Some((_, left)) = left.split_first() else {
                    return false;
                };
                retry = Some((after, left));
                pattern = after;
                text = left;
            }
        }
    }
}
