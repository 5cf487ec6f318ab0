//! Who may be given a cookie.

use http::{HeaderMap, HeaderName, Method};

use super::super::{is_crawler, may_mint};
use super::table;

#[test]
fn only_people_who_open_a_page_get_a_cookie() {
    let table = table("may_mint.tsv");
    assert_eq!(table.len(), 35);
    for row in table {
        let mut headers = HeaderMap::new();
        for field in row[2].split(" | ").filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once(": ").unwrap();
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let method: Method = row[1].parse().unwrap();
        assert_eq!(may_mint(&method, &headers.into()), row[0] == "yes", "{row:?}");
    }
}

#[test]
fn declared_crawlers_are_told_from_people() {
    let table = table("crawlers.tsv");
    assert_eq!(table.len(), 75);
    for row in table {
        let mut headers = HeaderMap::new();
        headers.append("user-agent", row[1].parse().unwrap());
        let crawler = is_crawler(&headers.into());
        assert_eq!(if crawler { "crawler" } else { "person" }, row[0], "{row:?}");
    }
}

#[test]
fn a_crawler_is_found_wherever_its_word_stands() {
    for word in ["bot", "Spider", "+http", "W3C_Validator", "yeti/"] {
        for before in 0..9 {
            for after in 0..3 {
                let agent = format!("{}{word}{}", "x".repeat(before), "y".repeat(after));
                let mut headers = HeaderMap::new();
                headers.append("user-agent", agent.parse().unwrap());
                assert!(is_crawler(&headers.into()), "{agent}");
            }
        }
    }
    for agent in ["CUBOT X30", "cubot cuBot"] {
        let mut headers = HeaderMap::new();
        headers.append("user-agent", agent.parse().unwrap());
        assert!(!is_crawler(&headers.clone().into()), "{agent}");
        headers.append("user-agent", format!("{agent} bot").parse().unwrap());
        assert!(is_crawler(&headers.into()), "{agent}");
    }
    let mut several = HeaderMap::new();
    for agent in ["Mozilla/5.0", "", "b", "bo", "curl/8"] {
        several.append("user-agent", agent.parse().unwrap());
    }
    assert!(!is_crawler(&several.clone().into()));
    several.append("user-agent", "a bot".parse().unwrap());
    assert!(is_crawler(&several.into()));
}
