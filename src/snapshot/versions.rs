//! Backends that list their servers by version: which version a request gets, and where else an asset may be.
//!
//! Each version is a backend of its own in [`Snapshot::backends`], with connections, checks, limits and cached answers of its own.
//! Routes name the whole; a decision leads to one version of it.

use std::{fmt, time::Duration};

use http::HeaderValue;
use smallvec::SmallVec;

use super::{
    BackendId, Rule, Snapshot, Target,
    decide::{Ask, Entrance},
};
use crate::{
    backend::{
        Backend,
        server::How,
        version::{By, Standing, State, Sticky, VERSIONS_MAX, pick, seed_of},
    },
    clock::UnixTime,
    name::{VersionName, unversioned},
    visitor::{self, OWN_PREFIX, Visitor, cookies},
};

/// All backends that have versions.
#[derive(Debug, Default)]
pub struct Fleets(Vec<Fleet>);

/// A backend that has versions.
#[derive(Debug)]
pub struct Fleet {
    /// The whole, as routes name it.
    whole: BackendId,
    sticky: Sticky,
    cookie: Box<str>,
    /// Makes seeds differ from backend to backend.
    salt: u64,
    versions: Vec<Member>,
}

/// A version of a backend.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: VersionName,
    /// Its servers.
    pub backend: BackendId,
    /// Whether it takes new visitors.
    pub state: State,
    /// How many of them.
    pub weight: u32,
}

/// The version that a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnVersion {
    fleet: usize,
    version: usize,
    /// Why this one.
    pub by: By,
    /// The answer sets the cookie that keeps the visitor on it.
    pub set_cookie: bool,
}

/// Times that an asset is looked for elsewhere, for one request: the other versions of a backend, and the other sides of a flag.
pub const ELSEWHERE_MAX: usize = VERSIONS_MAX;

/// A clock that differs from ours by so much makes no cookie one from the future.
const AHEAD_SECS_MAX: u64 = 300;

impl Fleets {
    /// Those of `backends`, where the versions of each are backends as well.
    pub(super) fn of(backends: &[std::sync::Arc<Backend>]) -> Self {
        let ids = || (0..).map(BackendId).zip(backends);
        let fleet = |(whole, backend): (BackendId, &std::sync::Arc<Backend>)| {
            let settings = &backend.settings;
            let versions = settings.versions.as_ref()?;
            let member = |version: &crate::backend::version::Version| {
                let name = settings.name.at_version(&version.name);
                let (backend, _) = ids().find(|(_, other)| other.settings.name == name)?;
                Some(Member {
                    name: version.name.clone(),
                    backend,
                    state: version.state,
                    weight: version.weight,
                })
            };
            Some(Fleet {
                whole,
                sticky: versions.sticky.clone(),
                cookie: format!("{OWN_PREFIX}-version-{}", settings.name).into(),
                salt: seed_of(settings.name.as_str().as_bytes(), 0),
                versions: versions.all.iter().filter_map(member).collect(),
            })
        };
        Self(ids().filter_map(fleet).collect())
    }

    /// Whether no backend has versions.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The versions of a backend, if it has some.
    #[must_use]
    pub fn get(&self, whole: BackendId) -> Option<&Fleet> {
        self.0.iter().find(|fleet| fleet.whole == whole)
    }

    fn around(&self, one: BackendId) -> Option<&Fleet> {
        let has = |fleet: &&Fleet| fleet.versions.iter().any(|member| member.backend == one);
        self.0.iter().find(has)
    }
}

impl Fleet {
    /// Its versions, in the order written.
    #[must_use]
    pub fn versions(&self) -> &[Member] {
        &self.versions
    }

    fn standings(&self, at: &Snapshot) -> SmallVec<[Standing<'_>; VERSIONS_MAX]> {
        let standing = |member: &'_ Member| is_well(member.backend, at);
        self.versions
            .iter()
            .map(|member| Standing {
                name: member.name.as_str(),
                state: member.state,
                weight: member.weight,
                is_well: standing(member),
            })
            .collect()
    }

    /// The version of the cookie, while it counts, and how long ago it was set.
    fn carried<'h>(&self, ask: &Ask<'h, '_>, now: UnixTime) -> Option<(&'h str, Duration)> {
        let own = |(name, value): (&'h str, &'h str)| {
            let (version, since) = (name == &*self.cookie)
                .then(|| value.rsplit_once('.'))
                .flatten()?;
            let since: u64 = since.parse().ok()?;
            let age = Duration::from_secs(now.secs().saturating_sub(since));
            let counts = age <= self.sticky.stay && since <= now.secs().saturating_add(AHEAD_SECS_MAX);
            counts.then_some((version, age))
        };
        cookies(ask.headers).find_map(own)
    }

    /// Chooses for a request.
    fn choose(
        &self,
        ask: &Ask<'_, '_>,
        (path, query): (&str, Option<&str>),
        visitor: Option<&Visitor>,
        now: UnixTime,
        at: &Snapshot,
    ) -> Option<(usize, By, bool)> {
        let sticky = &self.sticky;
        let header = sticky.header.as_ref().and_then(|name| ask.headers.get(name));
        let header = header.and_then(|value| value.to_str().ok());
        let carried = match ask.entrance {
            Entrance::Plain(_) => None, // nobody is known by a cookie there
            Entrance::Public | Entrance::Private => self.carried(ask, now),
        };
        let told = [
            (By::Header, header),
            (By::Query, sticky.in_query(query)),
            (By::Path, sticky.in_path(path)),
            (By::Cookie, carried.map(|(version, _)| version)),
        ];
        let told = told.into_iter().filter_map(|(by, name)| Some((by, name?)));
        let may_set = ask.entrance == Entrance::Public && visitor::may_mint(ask.method, ask.headers);
        let seed = match (visitor, ask.client) {
            (Some(visitor), _) => seed_of(visitor.id().as_bytes(), self.salt),
            // who is not kept on it by a cookie is at least kept by the address
            (None, Some(client)) if !may_set => {
                seed_of(client.to_canonical().to_string().as_bytes(), self.salt)
            }
            _ => seed_of(&ask.entropy, self.salt),
        };
        let standings = self.standings(at);
        let (version, by) = pick(&standings, told, seed)?;
        let own = standings.get(version)?;
        let still = carried.filter(|(name, _)| *name == own.name);
        let fresh = still.is_some_and(|(_, age)| age <= sticky.stay / 4);
        let set = may_set && !fresh && own.state == State::Live;
        Some((version, by, set))
    }
}

/// Whether some server of a backend is well by checks and live traffic; one whose servers are not known yet is.
fn is_well(id: BackendId, at: &Snapshot) -> bool {
    let Some(backend) = at.backend(id) else {
        return false;
    };
    let roster = backend.roster();
    let mut how = roster.servers.iter().map(|server| server.how());
    roster.servers.is_empty() || how.any(|how| !matches!(how, How::Unhealthy | How::Ejected(..)))
}

impl Snapshot {
    /// The version of `led` that a request gets; `led` itself where it has none.
    pub(super) fn on_version(
        &self,
        led: BackendId,
        ask: &Ask<'_, '_>,
        where_to: (&str, Option<&str>),
        visitor: Option<&Visitor>,
        now: UnixTime,
    ) -> (BackendId, Option<OnVersion>) {
        if self.fleets.is_empty() {
            return (led, None);
        }
        let found = self.fleets.0.iter().position(|fleet| fleet.whole == led);
        let chosen = found.and_then(|at| Some((at, self.fleets.0.get(at)?)));
        let Some((at, fleet)) = chosen else {
            return (led, None);
        };
        let chosen = fleet.choose(ask, where_to, visitor, now, self);
        let Some((version, by, set_cookie)) = chosen else {
            return (led, None);
        };
        let on = OnVersion {
            fleet: at,
            version,
            by,
            set_cookie,
        };
        let member = fleet.versions.get(version);
        (member.map_or(led, |member| member.backend), Some(on))
    }

    /// The version that a request is on.
    #[must_use]
    pub fn member(&self, on: OnVersion) -> Option<&Member> {
        self.fleets.0.get(on.fleet)?.versions.get(on.version)
    }

    /// The `Set-Cookie` value that keeps a browser on its version.
    ///
    /// It is not signed: what it can choose, a header or a query can choose as well, and that is nothing but versions that are served.
    #[must_use]
    pub fn set_version(&self, on: OnVersion, now: UnixTime) -> Option<HeaderValue> {
        let fleet = self.fleets.0.get(on.fleet)?;
        let version = &fleet.versions.get(on.version)?.name;
        let (name, stay) = (&fleet.cookie, fleet.sticky.stay.as_secs());
        let since = now.secs();
        let text =
            format!("{name}={version}.{since}; Max-Age={stay}; Path=/; Secure; HttpOnly; SameSite=Lax");
        HeaderValue::try_from(text).ok()
    }

    /// A backend that can be asked for `id`: one of its versions where it has some, the same one for the same `seed`.
    #[must_use]
    pub fn one_of(&self, id: BackendId, seed: u64) -> BackendId {
        let Some(fleet) = self.fleets.get(id) else {
            return id;
        };
        let chosen = pick(&fleet.standings(self), std::iter::empty(), seed ^ fleet.salt);
        let member = chosen.and_then(|(version, _)| fleet.versions.get(version));
        member.map_or(id, |member| member.backend)
    }

    /// Whether `one` is `id`, or a version of it.
    #[must_use]
    pub fn is_part(&self, one: BackendId, id: BackendId) -> bool {
        let has = |fleet: &Fleet| fleet.versions.iter().any(|member| member.backend == one);
        one == id || self.fleets.get(id).is_some_and(has)
    }

    /// All that `id` is: its versions, the live ones first, or itself alone.
    #[must_use]
    pub fn parts(&self, id: BackendId) -> SmallVec<[BackendId; VERSIONS_MAX]> {
        let Some(fleet) = self.fleets.get(id) else {
            return SmallVec::from_slice(&[id]);
        };
        let with = |state| {
            let members = fleet.versions.iter();
            members
                .filter(move |member| member.state == state)
                .map(|member| member.backend)
        };
        with(State::Live).chain(with(State::Draining)).collect()
    }

    /// Where an asset of `rule` is looked for that `first` does not have: other versions of the same backend, then the flag's other
    /// sides. Who is known to be sick is left out.
    #[must_use]
    pub fn elsewhere(&self, rule: &Rule, first: BackendId) -> SmallVec<[BackendId; ELSEWHERE_MAX]> {
        let mut places = SmallVec::new();
        let own = self.fleets.around(first).map(|fleet| fleet.whole);
        let sides: &[BackendId] = match &rule.target {
            Target::Variants { by_variant, .. } => by_variant,
            Target::Backend(_) | Target::Redirect(_) => &[],
        };
        for whole in own.into_iter().chain(sides.iter().copied()) {
            for place in self.parts(whole) {
                let room = places.len() < ELSEWHERE_MAX && place != first && !places.contains(&place);
                if room && is_well(place, self) {
                    places.push(place);
                }
            }
        }
        places
    }

    /// What explain says of the version that a request gets, and of the places where an asset would be looked for.
    pub(super) fn version_lines(
        &self,
        on: Option<OnVersion>,
        rule: &Rule,
        first: BackendId,
        asked: (&http::Method, &str),
    ) -> Vec<String> {
        let mut lines: Vec<String> = on.and_then(|on| self.version_line(on)).into_iter().collect();
        if rule.assets.is_some_and(|assets| assets.takes(asked.0, asked.1)) {
            let places = self.elsewhere(rule, first);
            let names = places.iter().filter_map(|id| self.backend(*id));
            let names: Vec<&str> = names.map(|backend| backend.settings.name.as_str()).collect();
            lines.push(match names.is_empty() {
                true => "a hashed asset: where it is missing, 404 as plain text".to_owned(),
                false => format!(
                    "a hashed asset: where it is missing, asked for at {}; then 404 as plain text",
                    names.join(", ")
                ),
            });
        }
        lines
    }

    fn version_line(&self, on: OnVersion) -> Option<String> {
        let fleet = self.fleets.0.get(on.fleet)?;
        let all: Vec<String> = fleet.versions.iter().map(ToString::to_string).collect();
        let why = match on.by {
            By::Header => "the header says so",
            By::Query => "the query says so",
            By::Path => "the path says so",
            By::Cookie => "the visitor is on it",
            By::New => "new here, by weight",
            By::Moved => "what it asks for is gone, so by weight",
        };
        let set = if on.set_cookie {
            "; the answer sets its cookie"
        } else {
            ""
        };
        let name = &self.member(on)?.name;
        Some(format!("{name}: {why}{set}; of {}", all.join(", ")))
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, state) = (&self.name, self.state.as_str());
        match (self.state, self.weight) {
            (State::Live, 2..) => write!(f, "{name} ({state}, weight {})", self.weight),
            _ => write!(f, "{name} ({state})"),
        }
    }
}

/// Whether `name`, of a backend or of one of its versions, is that of `backend`.
#[must_use]
pub fn is_named(name: &str, backend: &str) -> bool {
    name == backend || unversioned(name).0 == backend
}
