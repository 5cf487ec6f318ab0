//! The same meaning: the routes that are made pick the behaviour that a plain reading of the rules picks, for any path.

use std::thread;

use http::Method;
use serde_json::{Value, json};

use super::{Input, Source, Wishes, import, plan::Squad, read, translate};
use crate::{
    fields::Fields,
    import::finding::Findings,
    name::{Place, SquadName},
    route::{Claim, Conditions, EncodedSlash, PathRule, Probe, Table, canonical, split_target},
};

const DISTRIBUTIONS: u64 = 500;
const PATHS: u64 = 10_000;

const SAMPLE: &str = include_str!("../../tests/import/cloudfront-sample.json");

/// SplitMix64: the same on every machine.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }

    pub(super) fn of<'t>(&mut self, list: &[&'t str]) -> &'t str {
        list[self.below(list.len())]
    }
}

// === the rules of CloudFront, read plainly ===

/// `*` is any text, slashes too; `?` is one character; both ends are anchored; a leading `/` is optional.
fn matches(pattern: &str, path: &str) -> bool {
    let pattern = format!("/{}", pattern.strip_prefix('/').unwrap_or(pattern)).replace('"', "%22");
    glob(pattern.as_bytes(), path.as_bytes())
}

fn glob(pattern: &[u8], path: &[u8]) -> bool {
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < path.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            back = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == path[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, taken)) = back {
            back = Some((star, taken + 1));
            p = star + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// RFC 3986 sections 6.2.2 and 5.2.4, and doubled slashes taken together. Only for paths that have one reading.
fn normalised(path: &str) -> String {
    let mut text = String::new();
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let (value, escaped) = if byte == b'%' {
            at += 3;
            let digits = std::str::from_utf8(&bytes[at - 2..at]).unwrap();
            (u8::from_str_radix(digits, 16).unwrap(), true)
        } else {
            at += 1;
            (byte, false)
        };
        let unreserved = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
        let may_stand = b"/!$&'()*+,;=:@".contains(&value) && !escaped;
        if unreserved || may_stand {
            text.push(char::from(value));
        } else {
            text.push_str(&format!("%{value:02X}"));
        }
    }
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = text.split('/').skip(1).collect();
    let ends_open = matches!(segments.last(), Some(&("" | "." | "..")));
    for segment in &segments {
        match *segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let end = if ends_open && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

/// The number of the first behaviour whose pattern matches; the default behaviour's otherwise.
fn naive(patterns: &[String], path: &str) -> usize {
    let path = normalised(path);
    let first = patterns.iter().position(|pattern| matches(pattern, &path));
    first.unwrap_or(patterns.len()) + 1
}

// === what is made up ===

const PIECES: [&str; 22] = [
    "a",
    "ab",
    "abc",
    "api",
    "v1",
    "v2",
    "courses",
    "unit-",
    "index.html",
    ".jpg",
    ".css",
    "x",
    "~user",
    "$rpc",
    "q&a",
    "@me",
    "a+b",
    ":id",
    "'",
    "\"",
    "_",
    "-",
];

pub(super) fn pattern(random: &mut Random) -> String {
    let mut text = String::new();
    if random.below(4) > 0 {
        text.push('/');
    }
    for _ in 0..=random.below(5) {
        match random.below(10) {
            0..=4 => text.push_str(random.of(&PIECES)),
            5..=6 => text.push('*'),
            7 => text.push('?'),
            _ => text.push('/'),
        }
    }
    if text.is_empty() { "*".to_owned() } else { text }
}

/// A path near to what some pattern takes, then bent in the ways that make two readers disagree.
fn target(random: &mut Random, patterns: &[String]) -> String {
    let mut path = String::from("/");
    if !patterns.is_empty() && random.below(4) > 0 {
        for c in patterns[random.below(patterns.len())]
            .trim_start_matches('/')
            .chars()
        {
            match c {
                '*' => {
                    for _ in 0..random.below(3) {
                        path.push_str(random.of(&["/", "a", "b.jpg", "x/y", "", "//", "%61"]));
                    }
                }
                '?' => path.push_str(random.of(&["a", "/", "7", "", "%7E", "é"])),
                c => path.push(c),
            }
        }
    } else {
        for _ in 0..random.below(6) {
            path.push_str(random.of(&PIECES));
            path.push_str(random.of(&["/", "", "/"]));
        }
    }
    for _ in 0..random.below(3) {
        let at = random.below(path.len() + 1);
        let at = (0..=at)
            .rev()
            .find(|at| *at > 0 && path.is_char_boundary(*at))
            .unwrap_or(1);
        let bend = random.of(&[
            "//",
            "/./",
            "/../",
            "/..",
            "/.",
            "%2e%2e/",
            "%2F",
            "%5C",
            "%61",
            "%7e",
            "\\",
            "A",
            "%",
            "%00",
            ";",
            "..;/",
            "{",
            " ",
            "강",
            "%ED",
            "?q=/a.jpg",
            "#",
            "*",
            "%25",
            "+",
            "/",
        ]);
        path.insert_str(at, bend);
    }
    path
}

fn distribution(random: &mut Random) -> (Value, Vec<String>) {
    let count = [0, 1, 3, 8, 20, 75][random.below(6)];
    let patterns: Vec<String> = (0..count).map(|_| pattern(random)).collect();
    let behaviour = |pattern: Option<&String>| {
        json!({
            "PathPattern": pattern, "TargetOriginId": "one", "ViewerProtocolPolicy": "allow-all",
            "CachePolicyId": "4135ea2d-6df8-44a3-9df3-4b5a84be39ad",
        })
    };
    let config = json!({"DistributionConfig": {
        "CallerReference": "made-up",
        "Aliases": {"Quantity": 1, "Items": ["www.example.com"]},
        "DefaultRootObject": random.of(&["", "", "index.html", "a/index.html"]),
        "Origins": {"Items": [{"Id": "one", "DomainName": "one.example.com",
            "CustomOriginConfig": {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "https-only"}}]},
        "CacheBehaviors": {"Items": patterns.iter().map(|text| behaviour(Some(text))).collect::<Vec<_>>()},
        "DefaultCacheBehavior": behaviour(None),
    }});
    (config, patterns)
}

// === what is compared ===

fn squads(files: &[&str]) -> Vec<Squad> {
    let inputs: Vec<Input> = files
        .iter()
        .map(|text| Input {
            name: "made-up.json".to_owned(),
            text: (*text).to_owned(),
        })
        .collect();
    let mut findings = Findings::default();
    let found = read::read(Source::CloudFront, &inputs, &[], &mut findings);
    let squads = translate::all(&found, &Wishes::default(), &mut findings);
    assert!(!squads.is_empty());
    squads
}

/// The table that the written routes make, and the behaviour and squad of each.
fn table(squads: &[Squad]) -> (Table, Vec<(usize, usize)>) {
    let mut claims = Vec::new();
    let mut whose = Vec::new();
    for (at, squad) in squads.iter().enumerate() {
        for route in &squad.routes {
            let path = match &route.pattern {
                Some(pattern) => PathRule::Pattern(pattern.clone()),
                None => PathRule::Template("/*".to_owned()),
            };
            claims.push(Claim {
                place: Place {
                    file: "routes/made-up.toml".into(),
                    line: 1,
                },
                squad: SquadName::new(&squad.name).unwrap(),
                hosts: if squad.names_hosts {
                    squad.hosts.clone()
                } else {
                    Vec::new()
                },
                path,
                order: route.order,
                conditions: Conditions::default(),
            });
            whose.push((at, route.behaviour));
        }
    }
    let (table, clashes) = Table::build(&claims);
    assert_eq!(clashes, [], "{claims:?}");
    (table, whose)
}

fn picked(table: &Table, whose: &[(usize, usize)], host: &str, path: &str) -> Option<(usize, usize)> {
    let probe = Probe {
        host,
        method: &Method::GET,
        path,
        query: None,
        headers: &Fields::default(),
    };
    table.find(&probe).map(|found| whose[found.route.index()])
}

/// Compares `count` paths; returns how many were not refused.
fn compare(config: &str, patterns: &[String], random: &mut Random, count: u64) -> u64 {
    let squads = squads(&[config]);
    let (table, whose) = table(&squads);
    let mut asked = 0;
    for _ in 0..count {
        let target = target(random, patterns);
        let (path, _) = split_target(&target);
        let Ok(canonical) = canonical(path, EncodedSlash::Refuse) else {
            continue; // answered 400, whatever the routes are
        };
        asked += 1;
        let expected = naive(patterns, path);
        let seen = picked(&table, &whose, "www.example.com", &canonical);
        assert_eq!(
            seen,
            Some((0, expected)),
            "{target:?} as {canonical:?} among {patterns:?}"
        );
    }
    asked
}

#[test]
fn generated_distributions_pick_what_a_plain_reading_picks() {
    let cores = thread::available_parallelism().map_or(1, |cores| u64::try_from(cores.get()).unwrap());
    let asked: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|core| {
                scope.spawn(move || {
                    let mine = (0..DISTRIBUTIONS).filter(|seed| seed % cores == core);
                    mine.map(|seed| {
                        let mut random = Random(seed);
                        let (config, patterns) = distribution(&mut random);
                        compare(&config.to_string(), &patterns, &mut random, PATHS)
                    })
                    .sum::<u64>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{asked} of {} paths had one reading", DISTRIBUTIONS * PATHS);
    // the others are refused, which a plain reading leaves to the origin
    assert!(
        asked > DISTRIBUTIONS * PATHS / 2,
        "only {asked} paths had one reading"
    );
}

#[test]
fn the_sample_picks_what_a_plain_reading_picks() {
    let sample: Value = serde_json::from_str(SAMPLE).unwrap();
    let items = sample["DistributionConfig"]["CacheBehaviors"]["Items"]
        .as_array()
        .unwrap();
    let patterns: Vec<String> = items
        .iter()
        .map(|item| item["PathPattern"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(patterns.len(), 14);
    let squads = squads(&[SAMPLE]);
    let (table, whose) = table(&squads);
    let mut random = Random(2026);
    for _ in 0..PATHS {
        let target = target(&mut random, &patterns);
        let (path, _) = split_target(&target);
        if let Ok(canonical) = canonical(path, EncodedSlash::Refuse) {
            let seen = picked(&table, &whose, "learn.example.com", &canonical);
            assert_eq!(seen, Some((0, naive(&patterns, path))), "{target:?}");
        }
    }
}

#[test]
fn several_distributions_keep_to_their_own_hosts() {
    let mut random = Random(7);
    let mut one = |hosts: &[&str], count: usize| {
        let (mut config, _) = distribution(&mut random);
        let patterns: Vec<String> = (0..count).map(|_| pattern(&mut random)).collect();
        let items: Vec<Value> = patterns
            .iter()
            .map(|text| json!({"PathPattern": text, "TargetOriginId": "one", "ViewerProtocolPolicy": "allow-all"}))
            .collect();
        config["DistributionConfig"]["Aliases"]["Items"] = json!(hosts);
        config["DistributionConfig"]["CacheBehaviors"]["Items"] = json!(items);
        (config.to_string(), patterns)
    };
    let (wide, wide_patterns) = one(&["*.example.com"], 20);
    let (first, first_patterns) = one(&["a.example.com", "b.example.com"], 20);
    let (other, other_patterns) = one(&["example.org"], 20);
    let squads = squads(&[&wide, &first, &other]);
    let (table, whose) = table(&squads);
    let at = |host: &str| {
        squads
            .iter()
            .position(|squad| squad.hosts.contains(&host.to_owned()))
            .unwrap()
    };
    let sides = [
        ("x.example.com", at("*.example.com"), &wide_patterns),
        ("b.example.com", at("a.example.com"), &first_patterns),
        ("example.org", at("example.org"), &other_patterns),
    ];
    for _ in 0..5_000 {
        let (host, squad, patterns) = sides[random.below(3)];
        let target = target(&mut random, patterns);
        let (path, _) = split_target(&target);
        if let Ok(canonical) = canonical(path, EncodedSlash::Refuse) {
            let seen = picked(&table, &whose, host, &canonical);
            assert_eq!(seen, Some((squad, naive(patterns, path))), "{host} {target:?}");
        }
    }
}

/// The table that was computed from AWS's documentation, for the plain reading itself and for what is made of a behaviour.
#[test]
fn the_documented_table_holds() {
    let documented = include_str!("../../tests/tables/route/cloudfront_patterns.tsv");
    let mut rows = 0;
    for line in documented
        .lines()
        .filter(|line| !line.starts_with("# ") && !line.is_empty())
    {
        let columns: Vec<&str> = line.split('\t').collect();
        let (path, _) = split_target(columns[1]);
        let (mut config, _) = distribution(&mut Random(0));
        config["DistributionConfig"]["DefaultRootObject"] = json!("");
        config["DistributionConfig"]["CacheBehaviors"]["Items"] = json!([{"PathPattern": columns[0], "TargetOriginId": "one", "ViewerProtocolPolicy": "allow-all"}]);
        let (table, whose) = table(&squads(&[&config.to_string()]));
        let Ok(canonical) = canonical(path, EncodedSlash::Refuse) else {
            assert_eq!(columns[2], "refused", "{line}");
            continue;
        };
        let behaviour = if columns[2] == "yes" { 1 } else { 2 };
        assert_eq!(
            picked(&table, &whose, "www.example.com", &canonical),
            Some((0, behaviour)),
            "{line}"
        );
        assert_eq!(
            naive(&[columns[0].replace("&amp;", "&")], path),
            behaviour,
            "{line}"
        );
        rows += 1;
    }
    assert!(rows > 45, "{rows}");
}

/// A hostile file says so, and ends.
#[test]
fn what_is_no_distribution_never_panics() {
    let mut random = Random(99);
    for _ in 0..300 {
        let (config, _) = distribution(&mut random);
        let mut text = config.to_string();
        for _ in 0..=random.below(3) {
            let at = random.below(text.len());
            let end = (at + random.below(20)).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                text.replace_range(
                    at..end,
                    random.of(&["", "null", "[]", "{}", "\"\"", "-1", "{\"Items\":[null]}"]),
                );
            }
        }
        let input = Input {
            name: "bent.json".to_owned(),
            text,
        };
        let _ = import(Source::CloudFront, &[input], &[], &Wishes::default());
    }
}
