//! Who may be given a cookie.

use http::{HeaderMap, HeaderName, Method};

use super::super::may_mint;
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
