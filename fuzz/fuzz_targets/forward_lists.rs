//! Any list over any cookies and any query: what passes came so, whole; and `only` with `except` make up all that came.
#![no_main]

use banyan::{
    fields::{Fields, Known},
    message::Head,
    policy::forward::{Forward, Names, Of, Which},
};
use http::{Method, Version};
use libfuzzer_sys::fuzz_target;

// A list, `Cookie` fields and a query, each on a line of its own; names of the list stand between blanks.
fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|&byte| byte == b'\n');
    let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (list, query) = (text(), text());
    let query: String = query.chars().filter(char::is_ascii_graphic).collect();
    let list: Vec<&str> = list.split(' ').collect();
    let mut fields = Fields::new();
    for line in lines {
        fields.append(Known::COOKIE, line);
    }
    let came = (cookies(&fields), parameters(Some(&query)));
    let mut both = (Vec::new(), Vec::new());
    let (Ok(by_cookie), Ok(by_query)) = (
        Names::compile(Of::Cookies, &list),
        Names::compile(Of::Query, &list),
    ) else {
        return;
    };
    for (cookies_that, query_that) in [
        (Which::Only(by_cookie.clone()), Which::Only(by_query.clone())),
        (Which::Except(by_cookie), Which::Except(by_query)),
    ] {
        let forward = Forward {
            headers: Which::All,
            cookies: cookies_that,
            query: query_that,
        };
        let mut head = Head::new(
            Method::GET,
            format!("/?{query}"),
            Version::HTTP_11,
            fields.clone(),
        );
        forward.apply(&mut head);
        let once = (
            cookies(&head.headers),
            parameters(head.target().strip_prefix("/?")),
        );
        let names: Vec<&[u8]> = once.0.iter().map(|cookie| name(cookie)).collect();
        assert!(names.is_sorted(), "cookies are sorted");
        let mut rest = came.1.iter();
        assert!(
            once.1.iter().all(|one| rest.any(|other| other == one)),
            "parameters stay in order"
        );
        forward.apply(&mut head);
        let twice = (
            cookies(&head.headers),
            parameters(head.target().strip_prefix("/?")),
        );
        assert_eq!(once, twice, "what has passed passes");
        both.0.extend(once.0);
        both.1.extend(once.1);
    }
    let (mut cookies_came, mut query_came) = came;
    cookies_came.sort();
    query_came.sort();
    both.0.sort();
    both.1.sort();
    assert_eq!(both, (cookies_came, query_came));
});

fn cookies(fields: &Fields) -> Vec<Vec<u8>> {
    let fields = fields.get_all(Known::COOKIE);
    let pieces = fields.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let pieces = pieces.map(|piece| piece.trim_ascii().to_vec());
    pieces.filter(|piece| !piece.is_empty()).collect()
}

fn name(cookie: &[u8]) -> &[u8] {
    let name = cookie.split(|byte| *byte == b'=').next();
    name.unwrap_or_default().trim_ascii_end()
}

/// Without the empty ones, which a target that has no query lacks.
fn parameters(query: Option<&str>) -> Vec<String> {
    let parameters = query.into_iter().flat_map(|query| query.split('&'));
    let parameters = parameters.filter(|parameter| !parameter.is_empty());
    parameters.map(str::to_owned).collect()
}
