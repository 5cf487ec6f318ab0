//! Which of a query's parameters pass: byte for byte and in order; `&` alone stands between two.

use std::borrow::Cow;

use super::Which;
use crate::{message::Head, route::decoded};

/// A parameter's name, decoded, as every list is judged: bytes before the first `=`, or all of them.
fn name(parameter: &str) -> Cow<'_, [u8]> {
    decoded(written_name(parameter))
}

/// A parameter's name as it came.
pub(super) fn written_name(parameter: &str) -> &str {
    parameter.split_once('=').map_or(parameter, |(name, _)| name)
}

/// Whether a parameter passes.
pub(super) fn passes(which: &Which, parameter: &str) -> bool {
    which.lets(|names| names.has(&name(parameter)))
}

/// What is left of a query. `None`: nothing, not even its `?`.
pub(super) fn kept<'q>(which: &Which, query: &'q str) -> Option<Cow<'q, str>> {
    match which {
        Which::All => return Some(Cow::Borrowed(query)),
        Which::Nothing => return None,
        Which::Only(_) | Which::Except(_) => {}
    }
    if query.split('&').all(|parameter| passes(which, parameter)) {
        return Some(Cow::Borrowed(query));
    }
    let mut left: Option<String> = None;
    for parameter in query.split('&').filter(|parameter| passes(which, parameter)) {
        match &mut left {
            None => left = Some(parameter.to_owned()),
            Some(left) => {
                left.push('&');
                left.push_str(parameter);
            }
        }
    }
    left.map(Cow::Owned)
}

/// Takes the parameters out of a request's target that don't pass.
pub(super) fn keep(which: &Which, head: &mut Head) {
    if *which == Which::All {
        return;
    }
    let Some((path, query)) = head.target().split_once('?') else {
        return;
    };
    let target = match kept(which, query) {
        Some(Cow::Borrowed(_)) => return,
        Some(Cow::Owned(query)) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    head.set_target(target);
}
