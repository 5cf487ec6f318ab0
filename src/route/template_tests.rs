//! Templates: what is accepted, and what they take.

use super::Template;

#[test]
fn each_template_in_the_table_is_accepted_or_says_how_to_mend_it() {
    let rows = crate::route::tests::rows("templates.tsv");
    assert!(rows.len() > 30, "only {} rows", rows.len());
    for row in rows {
        let seen = match Template::parse(&row[0]) {
            Ok(template) => {
                assert!(template.takes(&template.example()), "{}", row[0]);
                assert!(template.set().takes(&template.example()), "{}", row[0]);
                "ok".to_owned()
            }
            Err(why) => why.to_string(),
        };
        assert_eq!(seen, row[1], "{:?}", row[0]);
    }
}

#[test]
fn a_template_has_a_longest_length() {
    assert!(Template::parse(&format!("/{}", "a".repeat(1023))).is_ok());
    assert_eq!(
        Template::parse(&format!("/{}", "a".repeat(1024)))
            .unwrap_err()
            .to_string(),
        "a path has at most 1024 bytes, this one has 1025"
    );
}

#[track_caller]
fn check(template: &str, path: &str, expected: Option<&[(&str, &str)]>) {
    let template = Template::parse(template).unwrap();
    assert_eq!(template.params(path).as_deref(), expected);
    assert_eq!(template.set().takes(path), expected.is_some());
}

#[test]
fn a_name_is_one_segment_that_is_not_empty() {
    check("/courses/{slug}", "/courses/rust", Some(&[("slug", "rust")]));
    check("/courses/{slug}", "/courses/", None);
    check("/courses/{slug}", "/courses", None);
    check("/courses/{slug}", "/courses/rust/", None);
    check("/courses/{slug}", "/courses/rust/x", None);
    check("/{a}/x/{b}", "/1/x/2", Some(&[("a", "1"), ("b", "2")]));
}

#[test]
fn the_rest_also_takes_nothing() {
    check("/guides/*", "/guides", Some(&[("*", "")]));
    check("/guides/*", "/guides/", Some(&[("*", "")]));
    check("/guides/*", "/guides/a/b", Some(&[("*", "a/b")]));
    check("/guides/*", "/guides-old", None);
    check("/*", "/", Some(&[("*", "")]));
    check("/*", "/a", Some(&[("*", "a")]));
}

#[test]
fn a_last_slash_is_significant() {
    check("/a/", "/a/", Some(&[]));
    check("/a/", "/a", None);
    check("/a", "/a/", None);
    check("/", "/", Some(&[]));
    check("/", "/a", None);
}
