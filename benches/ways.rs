//! Requests that meet a site in every way that a decision can go.

use std::hint::black_box;

use banyan::{
    clock::UnixTime,
    config::Sources,
    fields::Fields,
    gate::TokenMemory,
    snapshot::{
        Snapshot,
        decide::{Ask, Credential, Decision, Entrance, decide},
    },
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::site::{self, template};

/// When everything happens.
const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

/// A way that a decision can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A path that stands as it is in a template.
    Exact,
    /// A path with one free segment.
    Slug,
    /// A path below a last `/*`.
    Rest,
    /// A path that only the site's `/*` takes.
    CatchAll,
    /// A path that one pattern of many takes.
    Pattern,
    /// A route with a flag, asked by a visitor with a good cookie.
    Flagged,
    /// A route that asks twenty flags with rollouts, asked by a visitor with a good cookie.
    Twenty,
    /// A route for people who are signed in, asked with a token that was seen before.
    SignedIn,
    /// That route, asked with the cookie of a session that was seen before.
    InSession,
}

impl Way {
    /// Every way.
    pub(super) const ALL: [Self; 9] = [
        Self::Exact,
        Self::Slug,
        Self::Rest,
        Self::CatchAll,
        Self::Pattern,
        Self::Flagged,
        Self::Twenty,
        Self::SignedIn,
        Self::InSession,
    ];

    /// In a word, for tables.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Slug => "slug",
            Self::Rest => "rest",
            Self::CatchAll => "catch-all",
            Self::Pattern => "pattern",
            Self::Flagged => "flagged",
            Self::Twenty => "twenty",
            Self::SignedIn => "signed-in",
            Self::InSession => "session",
        }
    }

    /// The site that it is asked of, with `count` templates, or patterns.
    pub(super) fn site(self, count: usize) -> Sources {
        match self {
            Self::Pattern => {
                site::of_rules((0..count).map(|at| format!("pattern = \"{}\"\norder = {at}", pattern(at))))
            }
            _ => site::templates(count),
        }
    }

    /// A path in the middle of a site with `count` routes, and the route that must take it.
    fn path(self, count: usize) -> (String, String) {
        let of_kind = |kind: usize| {
            let at = count / 6 * 3 + kind;
            (at / 50, at, template(at))
        };
        match self {
            Self::Exact => {
                let (.., template) = of_kind(0);
                (template.clone(), template)
            }
            Self::Slug => {
                let (section, at, template) = of_kind(1);
                (format!("/section-{section:03}/item-{at:05}/learn-rust"), template)
            }
            Self::Rest => {
                let (section, at, template) = of_kind(2);
                (format!("/section-{section:03}/tree-{at:05}/a/b/c"), template)
            }
            Self::CatchAll => ("/nobody/has/claimed/this/page".to_owned(), "/*".to_owned()),
            Self::Pattern => {
                let (at, section) = (count / 2, count / 2 / 50);
                (
                    format!("/section-{section:03}/some/page-{at:05}.html"),
                    pattern(at),
                )
            }
            Self::Flagged => ("/moving/learn-rust".to_owned(), "/moving/{slug}".to_owned()),
            Self::Twenty => ("/twenty/learn-rust".to_owned(), "/twenty/*".to_owned()),
            Self::SignedIn | Self::InSession => ("/account/orders".to_owned(), "/account/*".to_owned()),
        }
    }
}

/// The pattern with this number.
pub(super) fn pattern(at: usize) -> String {
    format!("/section-{:03}/*-{at:05}.html", at / 50)
}

/// A request and the site that it is asked of.
pub(super) struct Asking<'s> {
    site: &'s Snapshot,
    target: String,
    headers: Fields,
    tokens: TokenMemory,
}

impl<'s> Asking<'s> {
    /// A request that meets `site`, which has `count` routes, in this way. It is asked once, so that what is remembered is there.
    pub(super) fn new(way: Way, site: &'s Snapshot, count: usize) -> Self {
        let (path, route) = way.path(count);
        let mut headers = browser();
        match way {
            Way::Flagged | Way::Twenty => {
                let visitor = site.visitors.mint([9; 16], NOW);
                let cookie = site.visitors.set_cookie(&visitor, NOW);
                let pair = cookie.to_str().ok().and_then(|cookie| cookie.split(';').next());
                let pair = format!("theme=dark; {}; basket=3", pair.expect("a cookie"));
                headers.insert(header::COOKIE, HeaderValue::try_from(pair).expect("a field"));
            }
            Way::SignedIn => {
                let field = HeaderValue::try_from(format!("Bearer {}", site::token(site, NOW)));
                headers.insert(header::AUTHORIZATION, field.expect("a field"));
            }
            Way::InSession => {
                let field =
                    HeaderValue::try_from(format!("theme=dark; {}; basket=3", site::session(site, NOW)));
                headers.insert(header::COOKIE, field.expect("a field"));
            }
            _ => {}
        }
        let asking = Self {
            site,
            target: format!("{path}?page=2"),
            headers: headers.into(),
            tokens: TokenMemory::new(),
        };
        let decision = asking.decide();
        let rule = site.rule(decision.route).expect("its rule");
        assert_eq!(&*rule.name, route, "{path} went elsewhere");
        let is_flagged = matches!(way, Way::Flagged | Way::Twenty);
        assert_eq!(decision.visitor.is_some(), is_flagged);
        let is_known = matches!(way, Way::SignedIn | Way::InSession);
        assert_eq!(decision.identity.is_some(), is_known);
        drop(decision);
        asking
    }

    /// Decides it once.
    pub(super) fn decide(&self) -> Decision<'_> {
        let ask = Ask {
            entrance: Entrance::Public,
            method: &Method::GET,
            host: "www.example.com",
            target: &self.target,
            headers: &self.headers,
            client: None,
            credential: Credential::Fields(&self.tokens),
            entropy: [3; 16],
        };
        decide(black_box(&ask), NOW, self.site, &mut ()).expect("it is let through")
    }

    /// Decides it many times.
    pub(super) fn decide_times(&self, times: u32) {
        for _ in 0..times {
            drop(black_box(self.decide()));
        }
    }
}

/// The fields that a browser sends.
fn browser() -> HeaderMap {
    let fields = [
        ("host", "www.example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("accept-language", "en-GB,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("sec-fetch-mode", "cors"),
        ("cookie", "theme=dark; basket=3"),
    ];
    let field = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    fields.into_iter().map(field).collect()
}
