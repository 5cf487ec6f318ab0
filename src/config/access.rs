//! `[key_groups]` and `[geo]` of the operator, `[routes.signed]`, `[routes.geo]` and `[routes.viewer]` of a squad: who is let in by a
//! signature or a country, and what a backend is told of viewers.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    report::{Report, suggest},
    sources::{Sources, Unreadable},
    values::Spot,
};
use crate::policy::{
    access::Access,
    geo::{self, Countries, Country, Database},
    signed::{ID_BYTES_MAX, KEYS_MAX, KeyGroup, PublicKey, Trust, is_id},
    viewer::ViewerHeader,
};

/// Groups of keys by name; in each, ids with the files of their public keys.
pub(super) type KeyGroupsFile = BTreeMap<Spot<String>, Spot<BTreeMap<Spot<String>, Spot<String>>>>;

/// `[geo]`: where visitors are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GeoFile {
    /// A database in MaxMind's format (`.mmdb`) that tells countries, such as GeoLite2-City. It is read into memory, and again when it is
    /// replaced.
    #[schemars(required, extend("x-required" = true))]
    database: Option<Spot<String>>,
}

/// `[routes.signed]`: only addresses that somebody has signed are let in, as CloudFront does it: signed URLs and signed cookies. Else 403.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SignedFile {
    /// Names of `[key_groups]` whose keys may sign.
    #[schemars(required, extend("x-required" = true))]
    keys: Option<Spot<Vec<Spot<String>>>>,
}

/// `[routes.geo]`: countries that are let in, by the visitor's address. Others get 403; one whose country is not known is let in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CountriesFile {
    /// These alone, as two letters of ISO 3166: `["DE", "AT"]`. This or `deny`.
    allow: Option<Spot<Vec<Spot<String>>>>,
    /// All but these.
    deny: Option<Spot<Vec<Spot<String>>>>,
}

/// `[routes.viewer]`: what the backend is told of viewers. Clients' own fields of such names are removed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ViewerFile {
    /// CloudFront's names: `CloudFront-Viewer-Country`, `CloudFront-Is-Mobile-Viewer`, … Those about places need `[geo]`.
    #[schemars(required, extend("x-required" = true))]
    headers: Option<Spot<Vec<Spot<String>>>>,
}

/// What `banyan.toml` has for routes to use.
#[derive(Debug)]
pub(super) struct Offered {
    groups: Vec<Arc<KeyGroup>>,
    /// Groups that can't be used are not there; about them something is said already.
    whole: bool,
    /// There is a `[geo]`, be it broken.
    geo: bool,
}

/// What a route says of access.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'f> {
    pub(super) signed: Option<&'f Spot<SignedFile>>,
    pub(super) geo: Option<&'f Spot<CountriesFile>>,
    pub(super) viewer: Option<&'f Spot<ViewerFile>>,
}

impl Offered {
    pub(super) fn of(groups: &[Arc<KeyGroup>], geo: bool, report: &Report) -> Self {
        Self {
            groups: groups.to_vec(),
            whole: !report.has_errors(),
            geo: geo || report.has_removed("geo"),
        }
    }
}

/// Reads the keys of all groups.
pub(super) fn key_groups(
    written: &KeyGroupsFile,
    sources: &Sources,
    report: &mut Report,
) -> Vec<Arc<KeyGroup>> {
    let mut groups = Vec::with_capacity(written.len());
    for (name, group) in written {
        if group.value.is_empty() {
            report
                .warning(
                    "no-keys",
                    name.span.clone(),
                    format!("the group `{}` has no keys: nobody is let in where only it is named", name.value),
                )
                .hint("write each key as its id and the file of its public key: `K2JCJMDEHXQW5F = \"keys/videos.pem\"`");
        }
        if group.value.len() > KEYS_MAX {
            report
                .error(
                    "bad-key-group",
                    name.span.clone(),
                    format!("the group `{}` has {} keys", name.value, group.value.len()),
                )
                .hint(format!("at most {KEYS_MAX}; name several groups on the route"));
        }
        let keys = group
            .value
            .iter()
            .filter_map(|(id, file)| Some((id.value.clone(), key(id, file, sources, report)?)));
        groups.push(Arc::new(KeyGroup {
            keys: keys.collect(),
            name: name.value.clone(),
        }));
    }
    groups
}

fn key(id: &Spot<String>, file: &Spot<String>, sources: &Sources, report: &mut Report) -> Option<PublicKey> {
    if !is_id(&id.value) {
        report
            .error(
                "bad-key",
                id.span.clone(),
                format!("`{}` can't be the id of a key", id.value),
            )
            .hint(format!("1 to {ID_BYTES_MAX} letters, digits, `-` and `_`"));
    }
    let bytes = attached(file, sources, report)?;
    PublicKey::from_pem(&bytes)
        .map_err(|reason| {
            report
                .error(
                    "bad-key",
                    file.span.clone(),
                    format!("`{}` can't be used: {reason}", file.value),
                )
                .hint("`openssl pkey -in private.pem -pubout` writes the public key; the private one stays with who signs");
        })
        .ok()
}

impl GeoFile {
    /// Opens the database.
    pub(super) fn settle(geo: &Spot<Self>, sources: &Sources, report: &mut Report) -> Option<Arc<Database>> {
        let Some(file) = &geo.value.database else {
            report.missing(
                &geo.span,
                "database",
                "name a file, such as `database = \"GeoLite2-City.mmdb\"`",
            );
            return None;
        };
        let bytes = attached(file, sources, report)?;
        Database::open(bytes)
            .map_err(|reason| {
                report
                    .error(
                        "bad-database",
                        file.span.clone(),
                        format!("`{}` can't be used: {reason}", file.value),
                    )
                    .hint("a City, Country or Enterprise database of MaxMind's, or one in the same format");
            })
            .ok()
            .map(Arc::new)
    }
}

fn attached(file: &Spot<String>, sources: &Sources, report: &mut Report) -> Option<Arc<[u8]>> {
    let reason = match sources.attached(&file.value) {
        Some(Ok(bytes)) => return Some(Arc::clone(bytes)),
        Some(Err(Unreadable::Missing)) | None => "it is not there".to_owned(),
        Some(Err(Unreadable::TooLong(bytes))) => format!("it has {bytes} bytes"),
        Some(Err(Unreadable::Refused(reason))) => reason.clone(),
        Some(Err(Unreadable::NotText(_) | Unreadable::TooMany)) => "it is not what it should be".to_owned(),
    };
    report
        .error(
            "unreadable-file",
            file.span.clone(),
            format!("`{}` can't be read: {reason}", file.value),
        )
        .hint("paths start at the folder of `banyan.toml`");
    None
}

impl Written<'_> {
    /// Judges what a route says. `None` for `offered`: `banyan.toml` can't be read, and nothing is said about what it may have.
    pub(super) fn settle(self, offered: Option<&Offered>, report: &mut Report) -> Access {
        Access {
            signed: self.signed.map(|signed| trust(signed, offered, report)),
            countries: self.geo.and_then(|geo| {
                needs_geo(&geo.span, "this route looks at countries", offered, report);
                countries(geo, report)
            }),
            viewer: self
                .viewer
                .map_or_else(Vec::new, |viewer| viewer_headers(viewer, offered, report)),
        }
    }
}

fn trust(signed: &Spot<SignedFile>, offered: Option<&Offered>, report: &mut Report) -> Trust {
    let Some(names) = &signed.value.keys else {
        report.missing(
            &signed.span,
            "keys",
            "name groups of `[key_groups]`, such as `keys = [\"videos\"]`",
        );
        return Trust::new(Vec::new());
    };
    if names.value.is_empty() {
        report
            .error(
                "empty-keys",
                names.span.clone(),
                "without a key nobody could sign, and nobody would be let in",
            )
            .hint("name groups of `[key_groups]`, or take `[routes.signed]` out");
    }
    let mut groups = Vec::with_capacity(names.value.len());
    for name in &names.value {
        let known = offered.map_or(&[][..], |offered| &offered.groups);
        match known.iter().find(|group| group.name == name.value) {
            Some(group) => groups.push(Arc::clone(group)),
            None if offered.is_some_and(|offered| offered.whole) => {
                let names = known.iter().map(|group| group.name.as_str());
                let add = format!("the operator adds `[key_groups.{}]` to `banyan.toml`", name.value);
                let hint = suggest(&name.value, names).unwrap_or(add);
                report
                    .error(
                        "unknown-key-group",
                        name.span.clone(),
                        format!("there are no keys `{}`", name.value),
                    )
                    .hint(hint);
            }
            None => {}
        }
    }
    Trust::new(groups)
}

fn needs_geo(span: &Range<usize>, who: &str, offered: Option<&Offered>, report: &mut Report) {
    if offered.is_some_and(|offered| !offered.geo) {
        report
            .error(
                "no-geo",
                span.clone(),
                format!("{who}, and there is no database that tells them"),
            )
            .hint("the operator adds `[geo]` with a `database` in MaxMind's format to `banyan.toml`");
    }
}

fn countries(geo: &Spot<CountriesFile>, report: &mut Report) -> Option<Countries> {
    let (list, make): (_, fn(Vec<Country>) -> Countries) = match (&geo.value.allow, &geo.value.deny) {
        (Some(list), None) => (list, Countries::Allow),
        (None, Some(list)) => (list, Countries::Deny),
        (Some(_), Some(deny)) => {
            report
                .error(
                    "allow-and-deny",
                    deny.span.clone(),
                    "countries are allowed or denied, not both",
                )
                .hint("take `deny` out: what `allow` does not name is denied");
            return None;
        }
        (None, None) => {
            if !report.was_removed(&geo.span, "deny") {
                report.missing(&geo.span, "allow", "write `allow = [\"DE\", \"AT\"]`, or `deny`");
            }
            return None;
        }
    };
    if list.value.is_empty() {
        report
            .error(
                "empty-countries",
                list.span.clone(),
                "an empty list of countries says nothing",
            )
            .hint("name countries, or take `[routes.geo]` out");
    }
    Some(make(
        list.value
            .iter()
            .filter_map(|code| country(code, report))
            .collect(),
    ))
}

fn country(code: &Spot<String>, report: &mut Report) -> Option<Country> {
    let country = Country::new(&code.value).filter(|country| country.is_assigned());
    if country.is_none() {
        let capitals = code.value.to_ascii_uppercase();
        let meant = match capitals.as_str() {
            "UK" => Some("GB"), // reserved for it, used by nobody
            "EL" => Some("GR"),
            _ => geo::codes().find(|known| *known == capitals),
        };
        let two = || "two capital letters of ISO 3166, such as `DE`".to_owned();
        report
            .error(
                "bad-country",
                code.span.clone(),
                format!("`{}` is not a country", code.value),
            )
            .hint(meant.map_or_else(two, |meant| format!("did you mean `{meant}`?")));
    }
    country
}

fn viewer_headers(
    viewer: &Spot<ViewerFile>,
    offered: Option<&Offered>,
    report: &mut Report,
) -> Vec<ViewerHeader> {
    let Some(names) = &viewer.value.headers else {
        report.missing(
            &viewer.span,
            "headers",
            "name fields, such as `headers = [\"CloudFront-Viewer-Country\"]`",
        );
        return Vec::new();
    };
    let mut headers = Vec::with_capacity(names.value.len());
    for name in &names.value {
        let Some(header) = ViewerHeader::named(&name.value) else {
            unknown_header(name, report);
            continue;
        };
        if header.needs_database() {
            let who = format!("`{}` is about places", header.name());
            needs_geo(&name.span, &who, offered, report);
        }
        if !headers.contains(&header) {
            headers.push(header);
        }
    }
    headers
}

fn unknown_header(name: &Spot<String>, report: &mut Report) {
    let hidden = HIDDEN
        .iter()
        .any(|hidden| hidden.eq_ignore_ascii_case(&name.value));
    let (what, hint) = if hidden {
        let what = format!("`{}` is not known to Banyan", name.value);
        let hint = "it would take the bytes of the TLS handshake or of the head as they came; take it out";
        (what, Some(hint.to_owned()))
    } else {
        let known = ViewerHeader::ALL.iter().map(|header| header.name());
        let what = format!("`{}` is not a field about viewers", name.value);
        (what, suggest(&name.value, known))
    };
    report
        .error("unknown-viewer-header", name.span.clone(), what)
        .hint_if(hint);
}

/// What CloudFront tells and Banyan can't.
const HIDDEN: [&str; 4] = [
    "CloudFront-Viewer-JA3-Fingerprint",
    "CloudFront-Viewer-JA4-Fingerprint",
    "CloudFront-Viewer-Header-Order",
    "CloudFront-Viewer-Header-Count",
];
