//! What `banyan explain` says of a request's parts: the rule, and the names of what it leaves out. Values are never told.

use std::fmt::Write;

use super::{ACCEPT_ENCODING, Forward, USER_AGENT, Which, cookies, headers, query};
use crate::fields::{Fields, Known};

impl Forward {
    /// For each part that does not pass whole: which it is, and in words what becomes of it.
    #[must_use]
    pub fn told(&self, fields: &Fields, query: Option<&str>) -> Vec<(String, String)> {
        let mut told = Vec::new();
        let mut tell = |part: &str, which: &Which, left_out: Vec<String>, more: &str| {
            if *which != Which::All {
                let mut text = which.to_string();
                if !left_out.is_empty() {
                    let _ = write!(text, " (not {})", left_out.join(", "));
                }
                told.push((part.to_owned(), text + more));
            }
        };
        tell(
            "headers",
            &self.headers,
            self.headers_left_out(fields),
            &self.stand_ins(fields),
        );
        let no_cookies = match self.lets_answers_set_cookies() {
            true => "",
            false => "; Set-Cookie is taken out of the answer",
        };
        tell(
            "cookies",
            &self.cookies,
            self.cookies_left_out(fields),
            no_cookies,
        );
        tell("query", &self.query, self.query_left_out(query), "");
        told
    }

    fn headers_left_out(&self, fields: &Fields) -> Vec<String> {
        let names = fields.iter().map(|(name, _)| name);
        once(
            names
                .filter(|name| !headers::passes(&self.headers, name))
                .map(|name| name.as_str().to_owned()),
        )
    }

    fn stand_ins(&self, fields: &Fields) -> String {
        let mut text = String::new();
        if !headers::passes(&self.headers, &Known::USER_AGENT) {
            let _ = write!(text, "; User-Agent becomes {USER_AGENT}");
        }
        if fields.contains_key(Known::ACCEPT_ENCODING)
            && !headers::passes(&self.headers, &Known::ACCEPT_ENCODING)
        {
            let _ = write!(text, "; Accept-Encoding becomes {ACCEPT_ENCODING}");
        }
        text
    }

    fn cookies_left_out(&self, fields: &Fields) -> Vec<String> {
        let cookies = cookies::cookies(fields);
        let left_out = cookies.filter(|(name, _)| !self.cookies.lets(|names| names.has(name)));
        once(left_out.map(|(name, cookie)| match name.len() < cookie.len() {
            true => String::from_utf8_lossy(name).into_owned(),
            false => "one without a name".to_owned(), // it may be a value
        }))
    }

    fn query_left_out(&self, query: Option<&str>) -> Vec<String> {
        let parameters = query.into_iter().flat_map(|query| query.split('&'));
        let left_out = parameters.filter(|parameter| !query::passes(&self.query, parameter));
        once(left_out.map(|parameter| query::written_name(parameter).to_owned()))
    }
}

/// Each name once, in the order in which they came.
fn once(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in names {
        if !name.is_empty() && !all.contains(&name) {
            all.push(name);
        }
    }
    all
}
