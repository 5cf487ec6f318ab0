//! Who may ask at all: signed addresses, countries, certificates of visitors. What can't be checked is closed to everybody.

use std::collections::BTreeMap;

use super::{
    Accepted, Wishes,
    finding::{Findings, Severity},
    names::{Names, plain},
    plan::{Geo, KeyGroup},
    policy::Policies,
    shape::{Behaviour, Distribution, said},
};
use crate::policy::{geo::Country, signed::KEYS_MAX};

/// What holds for every behaviour of a distribution.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) geo: Option<Geo>,
    /// Why nobody may ask; empty: somebody may.
    pub(super) closed: Vec<&'static str>,
}

/// What holds for the whole distribution.
pub(super) fn whole(distribution: &Distribution, wishes: &Wishes, findings: &mut Findings) -> Whole {
    let mut whole = Whole::default();
    countries(distribution, wishes, &mut whole, findings);
    let mtls = distribution.viewer_mtls_config.get();
    match mtls.map(|mtls| said(&mtls.mode).unwrap_or("required")) {
        None => {}
        Some("required") if !wishes.accept(Accepted::NoClientCertificate) => {
            whole
                .closed
                .push("visitors had to show a certificate, which Banyan can't ask for");
            findings.warning(
                "client-certificates",
                "visitors had to show a certificate (ViewerMtlsConfig `required`), which Banyan can't ask for: everybody gets 403",
                "ask for certificates in front of Banyan; or import with `--accept no-client-certificate`, which opens it",
            );
        }
        Some(mode) => findings.warning(
            "client-certificates",
            format!(
                "ViewerMtlsConfig is `{}`; Banyan asks visitors for no certificate",
                plain(mode)
            ),
            "nobody is told apart by certificates any more: check what the backends made of them",
        ),
    }
    whole
}

/// What a distribution says of countries, and that in words. What it says wrongly is an error, and nothing is written then.
fn restriction(distribution: &Distribution, findings: &mut Findings) -> Option<(Geo, String)> {
    let restriction = distribution.restrictions.get()?.geo_restriction.get()?;
    let items = restriction.items.items.iter();
    let mut list: Vec<String> = items.map(|country| country.to_ascii_uppercase()).collect();
    list.sort_unstable();
    list.dedup();
    let kind = match said(&restriction.restriction_type) {
        Some("none") => return None,
        None if list.is_empty() => return None,
        kind => kind.unwrap_or_default(),
    };
    let is_country = |code: &String| Country::new(code).is_some_and(Country::is_assigned);
    let odd = list.iter().find(|code| !is_country(code));
    if odd.is_some() || list.is_empty() {
        let what = match odd {
            Some(odd) => format!(
                "GeoRestriction has `{}` among its countries, which is none",
                plain(odd)
            ),
            None => "GeoRestriction has no list of countries".to_owned(),
        };
        findings.error(
            "bad-geo",
            what,
            "a country is two letters of ISO 3166; mend it in the file",
        );
        return None;
    }
    let countries = plain(&list.join(", "));
    let mut geo = Geo {
        allow: Vec::new(),
        deny: Vec::new(),
    };
    match kind {
        "whitelist" => {
            geo.allow = list;
            Some((geo, format!("only visitors from {countries} were let in")))
        }
        "blacklist" => {
            geo.deny = list;
            Some((geo, format!("visitors from {countries} were kept out")))
        }
        other => {
            let what = format!("GeoRestriction is of the unknown type `{}`", plain(other));
            findings.error("bad-geo", what, "it is none, whitelist or blacklist");
            None
        }
    }
}

fn countries(distribution: &Distribution, wishes: &Wishes, whole: &mut Whole, findings: &mut Findings) {
    let Some((geo, who)) = restriction(distribution, findings) else {
        return;
    };
    if let Some(file) = &wishes.geo_database {
        whole.geo = Some(geo);
        findings.warning(
            "countries",
            format!("{who}; `{}` says now who comes from where", plain(file)),
            "keep that file up to date: AWS did it for you",
        );
    } else if wishes.accept(Accepted::EveryCountry) {
        findings.warning(
            "countries",
            format!("{who}; now they are all let in"),
            "import again with `--geo-database FILE` (a MaxMind country or city database) to keep the restriction",
        );
    } else {
        whole
            .closed
            .push("visitors were told apart by country, which needs a database");
        findings.warning(
            "countries",
            format!("{who}; without a database nobody can tell, so everybody gets 403"),
            "import again with `--geo-database FILE` (a MaxMind country or city database), or with `--accept every-country`, which opens it",
        );
    }
}

/// Whether a behaviour asks for signed addresses or cookies. A list that is switched off counts too, and one that somebody cut: better closed
/// than open.
pub(super) fn asks_for_signatures(behaviour: &Behaviour) -> bool {
    [&behaviour.trusted_key_groups, &behaviour.trusted_signers]
        .iter()
        .any(|list| list.enabled || !list.items.is_empty() || list.miscounts())
}

/// The key groups that routes have named so far, over all distributions.
#[derive(Debug, Default)]
pub(super) struct KeyGroups {
    by_id: BTreeMap<String, String>,
    names: Names,
    /// Made since the last distribution.
    pub(super) made: Vec<KeyGroup>,
}

/// How a route is protected.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Protected {
    /// Names of key groups.
    pub(super) signed: Vec<String>,
    /// In words.
    pub(super) told: String,
}

impl KeyGroups {
    /// The protection of a behaviour.
    pub(super) fn protect(
        &mut self,
        number: usize,
        behaviour: &Behaviour,
        whole: &Whole,
        policies: &Policies,
        findings: &mut Findings,
    ) -> Protected {
        let groups = &behaviour.trusted_key_groups;
        let signers = &behaviour.trusted_signers;
        let mut signed = Vec::new();
        let mut open = false;
        for id in &groups.items {
            let (name, has_keys) = self.group(id, policies, number, findings);
            open |= has_keys;
            signed.push(name);
        }
        for id in &signers.items {
            signed.push(self.signer(id, number, findings));
        }
        if signed.is_empty() && asks_for_signatures(behaviour) {
            signed.push(self.nobody());
            findings.at(
                number,
                Severity::Warning,
                "no-keys",
                "signed addresses are asked for, but by the keys of no group: everybody gets 403",
                "name a key group under `[routes.signed]`",
            );
        }
        if !whole.closed.is_empty() {
            return Protected {
                signed: vec![self.nobody()],
                told: format!("closed to everybody: {}", whole.closed.join("; ")),
            };
        }
        let told = match (signed.is_empty(), open) {
            (true, _) => match &whole.geo {
                Some(_) => "by country".to_owned(),
                None => "no".to_owned(),
            },
            (false, true) => format!("signed addresses or cookies, by {}", signed.join(", ")),
            (false, false) => {
                format!("closed to everybody until {} has a key", signed.join(" or "))
            }
        };
        Protected { signed, told }
    }

    fn nobody(&mut self) -> String {
        if let Some(name) = self.by_id.get(NOBODY) {
            return name.clone();
        }
        let about = "Nobody has a key of this group: what it guards is closed.".to_owned();
        self.make(NOBODY, NOBODY_NAME, about, Vec::new())
    }

    fn group(
        &mut self,
        id: &str,
        policies: &Policies,
        number: usize,
        findings: &mut Findings,
    ) -> (String, bool) {
        let group = policies.key_groups.get(id);
        let keys: Vec<(String, String)> = group
            .into_iter()
            .flat_map(|group| &group.keys)
            .filter_map(|key| Some((key.clone(), policies.public_keys.get(key)?.clone())))
            .collect();
        let (wanted, given) = (group.map(|group| group.keys.len()), keys.len());
        if given > KEYS_MAX {
            findings.at(
                number,
                Severity::Error,
                "too-many",
                format!(
                    "key group `{}` has {given} keys; Banyan takes {KEYS_MAX}",
                    plain(id)
                ),
                "take out those that sign nothing any more",
            );
        }
        let called = group
            .map(|group| group.name.as_str())
            .filter(|name| !name.is_empty());
        let shown = plain(called.unwrap_or(id));
        if given == 0 {
            findings.at(
                number,
                Severity::Warning,
                "no-keys",
                format!("key group `{shown}` has no keys in what was given: everybody gets 403"),
                "give it with --policies (`aws cloudfront get-key-group` and `get-public-key`) and import again, or put its public keys into `banyan.toml`",
            );
        } else if wanted != Some(given) {
            findings.at(
                number,
                Severity::Warning,
                "missing-keys",
                format!("only {given} keys of key group `{shown}` are in what was given: what the others signed gets 403"),
                "give them with --policies (`aws cloudfront get-public-key`), and import again",
            );
        }
        if let Some(name) = self.by_id.get(id) {
            return (name.clone(), given > 0);
        }
        let text = called.map_or_else(|| format!("key-group-{id}"), str::to_owned);
        let about = format!("Key group {} of CloudFront.", plain(id));
        (self.make(id, &text, about, keys), given > 0)
    }

    fn signer(&mut self, id: &str, number: usize, findings: &mut Findings) -> String {
        findings.at(
            number,
            Severity::Warning,
            "no-keys",
            format!(
                "the trusted signer `{}` is an AWS account, whose keys no file says: everybody gets 403",
                plain(id)
            ),
            "put the account's public keys into `banyan.toml`, each by its Key-Pair-Id",
        );
        let key = format!("signer {id}");
        if let Some(name) = self.by_id.get(&key) {
            return name.clone();
        }
        let about = format!("Trusted signer {} of CloudFront.", plain(id));
        self.make(&key, &format!("signer-{id}"), about, Vec::new())
    }

    fn make(&mut self, id: &str, text: &str, about: String, keys: Vec<(String, String)>) -> String {
        let name = self.names.claim(text, "keys");
        self.by_id.insert(id.to_owned(), name.clone());
        self.made.push(KeyGroup {
            name: name.clone(),
            about,
            keys,
        });
        name
    }
}

/// No id of AWS's is like this.
const NOBODY: &str = "";
/// The name of the group that nobody has a key of.
pub(super) const NOBODY_NAME: &str = "nobody";
