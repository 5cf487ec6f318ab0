//! Random sites and random requests, the same ones for the same seed.

use std::{fmt::Write as _, fs};

use banyan::{
    clock,
    gate::TokenMemory,
    snapshot::{
        Snapshot,
        decide::{Ask, Credential, Entrance},
        explain::{Explanation, explain},
    },
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;

use super::{BACKENDS, FLAGS, ROUTES};
use crate::{
    backend::{Body, empty},
    issuer::{GOOD, gate},
    world::{Builder, World},
};

/// xorshift64*: small, and the same everywhere.
#[derive(Debug, Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap() % end
    }

    pub(super) fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    pub(super) fn of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

/// Names who answers and what it was told in fields, so that HEAD tells as much as GET.
pub(super) fn telling(
    name: &'static str,
) -> impl Fn(Request<Incoming>) -> std::future::Ready<Response<Body>> + Send + Sync + 'static {
    move |request| {
        let mut response = Response::new(empty());
        let fields = response.headers_mut();
        fields.insert("x-backend", HeaderValue::from_static(name));
        for (asked, told) in [("banyan-flags", "x-flags"), ("banyan-user", "x-user")] {
            if let Some(value) = request.headers().get(asked) {
                fields.insert(told, value.clone());
            }
        }
        let target = request.uri().path_and_query().unwrap().to_string();
        fields.insert("x-target", target.try_into().unwrap());
        std::future::ready(response)
    }
}

pub(super) const SEGMENTS: [&str; 9] = [
    "a", "b", "c", "courses", "rust", "x1", "reviews", "{one}", "{two}",
];

/// A route's path, no two of which are the same but for the names of placeholders.
pub(super) fn template(dice: &mut Dice) -> String {
    let depth = 1 + dice.below(4);
    let mut path = String::new();
    for at in 0..depth {
        let segment = dice.of(&SEGMENTS);
        match segment.strip_prefix('{') {
            Some(_) => _ = write!(path, "/{{p{at}}}"),
            None => _ = write!(path, "/{segment}"),
        }
    }
    if dice.percent(35) { path + "/*" } else { path }
}

pub(super) fn conditions(dice: &mut Dice) -> &'static str {
    dice.of(&[
        "methods = [\"GET\"]\n",
        "methods = [\"POST\", \"PUT\"]\n",
        "headers = { x-side = true }\n",
        "headers = { x-side = \"l*\" }\n",
        "query = { preview = \"yes\" }\n",
        "query = { a = [\"1\", \"2*\"] }\n",
        "cookies = { beta = true }\n",
        "cookies = { beta = false }\n",
        "hosts = [\"api.localhost\"]\n",
    ])
}

/// What a route says of requests, beside where it leads.
pub(super) fn sayings(dice: &mut Dice) -> &'static str {
    dice.of(&[
        "allowed_methods = [\"GET\", \"POST\"]\n",
        "allowed_methods = [\"GET\", \"HEAD\"]\nrefused_method_status = 403\n",
        "add_prefix = \"/v2\"\n",
        "rewrite = \"/index.html\"\n",
        "rewrite = \"/\"\nhttps = \"only\"\n",
    ])
}

/// Where a route with this path leads, and what it says.
pub(super) fn target(dice: &mut Dice, path: &str) -> String {
    if dice.percent(6) {
        let rest = if path.ends_with("/*") { "{rest}" } else { "" };
        let to = dice.of(&["/a/", "/a/", "https://example.org/a/"]);
        return format!(
            "redirect = {{ to = \"{to}{rest}\", status = {} }}\n",
            dice.of(&["301", "302", "308"])
        );
    }
    let mut text = String::new();
    if dice.percent(15) {
        text += sayings(dice);
    } else if dice.percent(10) {
        let first = path
            .split('/')
            .nth(1)
            .filter(|first| !first.contains(['{', '*', '?']));
        if let Some(first) = first {
            let _ = writeln!(text, "strip_prefix = \"/{first}\"");
        }
    }
    if dice.percent(35) {
        let _ = writeln!(text, "backend = \"b{}\"", dice.below(BACKENDS));
    } else {
        let (flag, old, new) = (dice.below(FLAGS), dice.below(BACKENDS), dice.below(BACKENDS));
        let _ = writeln!(
            text,
            "flag = \"f{flag}\"\nbackends = {{ legacy = \"b{old}\", new = \"b{new}\" }}"
        );
        if dice.percent(30) {
            let _ = writeln!(
                text,
                "flags = [\"f{}\"]",
                (flag + 1 + dice.below(FLAGS - 1)) % FLAGS
            );
        }
    }
    if dice.percent(10) && !text.contains("https") {
        text += "https = \"allow\"\nauth = \"none\"\n";
    } else if dice.percent(15) {
        text += dice.of(&[
            "auth = \"required\"\n",
            "auth = \"optional\"\n",
            "auth = \"required\"\nroles = [\"staff\", \"admin\"]\n",
        ]);
    }
    if dice.percent(5) {
        text += "allow_encoded_slash = true\n";
    }
    text
}

pub(super) fn routes(dice: &mut Dice) -> String {
    let mut text = "[[routes]]\npath = \"/*\"\nbackend = \"b0\"\nhosts = [\"localhost\"]\n".to_owned();
    let mut made = 1;
    for order in 0..15 {
        let pattern = ["*.css", "/a/*x", "/b/?/*", "/courses/*.html", "*/reviews/*7"][order % 5];
        let under = if order < 5 {
            String::new()
        } else {
            format!("/deep{order}")
        };
        let _ = write!(
            text,
            "[[routes]]\npattern = \"{under}{pattern}\"\norder = {order}\n{}",
            if order < 5 { "methods = [\"GET\"]\n" } else { "" }
        );
        text += &target(dice, "");
        made += 1;
    }
    let mut taken = std::collections::BTreeSet::new();
    while made < ROUTES {
        let path = template(dice);
        if !taken.insert(path.clone()) {
            continue;
        }
        let _ = write!(text, "[[routes]]\npath = \"{path}\"\n{}", target(dice, &path));
        made += 1;
        if dice.percent(40) && made < ROUTES {
            // The same path with a condition: it wins where the condition holds.
            let _ = write!(
                text,
                "[[routes]]\npath = \"{path}\"\n{}{}",
                conditions(dice),
                target(dice, &path)
            );
            made += 1;
        }
    }
    text
}

pub(super) fn flag(dice: &mut Dice) -> String {
    let mut text = if dice.percent(15) {
        "state = \"disabled\"\n".to_owned()
    } else {
        String::new()
    };
    text += "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n";
    for _ in 0..dice.below(3) {
        let rule = dice.of(&[
            "{ in = [\"staff\", { var = \"user.roles\" }] }",
            "{ \"==\" = [{ var = \"request.query.preview\" }, \"yes\"] }",
            "{ starts_with = [{ var = \"request.headers.x-side\" }, \"l\"] }",
            "{ \"==\" = [{ var = \"request.cookies.beta\" }, \"1\"] }",
            "{ in = [{ var = \"request.method\" }, [\"POST\", \"DELETE\"]] }",
            "{ ends_with = [{ var = \"request.path\" }, \"7\"] }",
            "{ \"==\" = [{ var = \"user.id\" }, \"alice\"] }",
        ]);
        let _ = writeln!(
            text,
            "[[rules]]\nif = {rule}\nserve = \"{}\"",
            dice.of(&["new", "legacy"])
        );
    }
    if dice.percent(80) {
        let by = if dice.percent(15) { "by = \"user\"\n" } else { "" };
        let _ = writeln!(
            text,
            "[rollout]\n{by}new = {}.{}",
            dice.below(100),
            dice.below(1000)
        );
    }
    text
}

pub(super) fn site(dice: &mut Dice) -> Builder {
    let names: [&'static str; BACKENDS] = ["b0", "b1", "b2", "b3", "b4", "b5"];
    let mut builder = World::new()
        .hosts("[\"localhost\", \"api.localhost\"]")
        .operator(&gate("keys.json"));
    for name in names {
        builder = builder.backend(name, telling(name));
    }
    for at in 0..FLAGS {
        builder = builder.flag(&format!("f{at}"), &flag(dice));
    }
    fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
    builder.routes(&routes(dice))
}

/// A request as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: &'static str,
    pub(super) host: &'static str,
    pub(super) target: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

/// What requests are made of beside dice: cookies of known visitors, and tokens.
pub(super) struct Material {
    pub(super) visitors: Vec<String>,
    pub(super) tokens: Vec<String>,
}

impl Asked {
    pub(super) fn random(dice: &mut Dice, from: &Material, hosts: &[&'static str]) -> Self {
        let methods = [
            "GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS",
        ];
        let mut headers = Vec::new();
        if dice.percent(25) {
            headers.push(("x-side", dice.of(&["left", "right", "", "l"]).to_owned()));
        }
        if dice.percent(30) {
            headers.push((
                "accept",
                dice.of(&["text/html", "application/json", "*/*"]).to_owned(),
            ));
        }
        if dice.percent(10) {
            headers.push(("user-agent", dice.of(&["Googlebot", "Mozilla/5.0"]).to_owned()));
        }
        if dice.percent(10) {
            headers.push(("sec-fetch-mode", dice.of(&["navigate", "cors"]).to_owned()));
        }
        if dice.percent(5) {
            headers.push(("banyan-user", "root".to_owned()));
            headers.push(("banyan-flags", "f1=new".to_owned()));
        }
        if dice.percent(30) {
            headers.push((
                "authorization",
                from.tokens[dice.below(from.tokens.len())].clone(),
            ));
        }
        let mut cookies = Vec::new();
        if dice.percent(60) {
            let mut cookie = from.visitors[dice.below(from.visitors.len())].clone();
            if dice.percent(10) {
                cookie.push('x');
            }
            cookies.push(cookie);
        }
        if dice.percent(25) {
            cookies.push(dice.of(&["beta=1", "beta=2", "beta", "gamma=1"]).to_owned());
        }
        if !cookies.is_empty() {
            headers.push(("cookie", cookies.join("; ")));
        }
        Self {
            method: dice.of(&methods),
            host: dice.of(hosts),
            target: target_of(dice),
            headers,
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\n",
            self.method, self.target, self.host
        );
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if matches!(self.method, "POST" | "PUT" | "PATCH") {
            text += "content-length: 0\r\n";
        }
        text + "\r\n"
    }

    pub(super) fn explained(
        &self,
        entrance: Entrance,
        entropy: [u8; 16],
        at: &Snapshot,
        memory: &TokenMemory,
    ) -> Explanation {
        let fields = self.headers.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        });
        let mut headers: HeaderMap = fields.collect();
        headers.insert("host", HeaderValue::from_static(self.host));
        let ask = Ask {
            entrance,
            method: &Method::from_bytes(self.method.as_bytes()).unwrap(),
            host: self.host.split(':').next().unwrap(),
            target: &self.target,
            headers: &headers.into(),
            client: None,
            credential: Credential::Fields(memory),
            entropy,
        };
        explain(&ask, clock::wall(), at)
    }
}

pub(super) fn target_of(dice: &mut Dice) -> String {
    let words = [
        "a", "b", "c", "courses", "rust", "x1", "reviews", "a", "b", "c", "7", "s.css", "i.html", "deep7",
        "deep12",
    ];
    // `<`, `>` and "`" are missing: a target that holds one is refused as no HTTP at all, before anything is decided.
    let odd = [
        "",
        ".",
        "..",
        "%2e",
        "%2E%2e",
        "%61",
        "c%6Furses",
        "a%2Fb",
        "%5c",
        "%",
        "%zz",
        "%00",
        "caf%c3%a9",
        "..;",
        ";x",
        "a;b=c",
        "~",
        "%7e",
        "A",
        "a%20b",
        "+",
        "!$&'()*,=:@",
        "...",
        "%25",
        "\\",
        "%0A",
        "{p0}",
        "\"",
        "|",
        "^",
    ];
    let mut path = String::new();
    for _ in 0..1 + dice.below(4) {
        let segment = if dice.percent(12) {
            dice.of(&odd)
        } else {
            dice.of(&words)
        };
        path = path + "/" + segment;
    }
    if path.is_empty() || dice.percent(10) {
        path.push('/');
    }
    if dice.percent(40) {
        path += dice.of(&[
            "?preview=yes",
            "?preview=no",
            "?a=1",
            "?a=2x&preview=yes",
            "?a=3",
            "?",
            "?b=%2F..&a=1",
            "?preview",
            "?x=/../y",
            "?p%72eview=yes",
        ]);
    }
    path
}
