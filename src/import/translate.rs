//! One distribution becomes one squad, behaviour by behaviour, in their order.

use super::{
    Wishes,
    backend::Backends,
    behaviour::{self, Around},
    finding::Findings,
    lint::{self, Placed},
    names::{Names, plain, variable},
    plan::{Backend, Route, SecretField, Squad, Told},
    protect::{self, KeyGroups},
    read::{Found, Printed},
    shape::{Behaviour, Distribution, said},
    together, whole,
};
use crate::{policy::request::check_path, route::Pattern};

/// All distributions, in the order in which their routes are tried.
pub(super) fn all(found: &Found, wishes: &Wishes, findings: &mut Findings) -> Vec<Squad> {
    let mut making = Making {
        found,
        wishes,
        findings,
        squads: Names::default(),
        backends: Names::default(),
        key_groups: KeyGroups::default(),
        secrets: Vec::new(),
        order: 0,
    };
    // exact names first: a `*.` of one distribution must not take what another has by name
    let mut printed: Vec<&Printed> = found.distributions.iter().collect();
    printed.sort_by_key(|one| {
        one.config
            .aliases
            .items
            .iter()
            .any(|alias| alias.starts_with("*."))
    });
    let mut squads = Vec::with_capacity(printed.len());
    for one in &printed {
        let overlaps = printed
            .iter()
            .any(|other| !std::ptr::eq(*one, *other) && together::overlap(&hosts(one), &hosts(other)));
        squads.push(making.squad(one, printed.len() > 1, overlaps));
    }
    let secrets = making.secrets;
    together::apart(&squads, findings);
    together::fits(&squads, findings);
    name_variables(&mut squads, &secrets);
    squads
}

struct Making<'m> {
    found: &'m Found,
    wishes: &'m Wishes,
    findings: &'m mut Findings,
    squads: Names,
    backends: Names,
    key_groups: KeyGroups,
    secrets: Vec<SecretField>,
    /// The last order given.
    order: i32,
}

/// A behaviour with its number; the default behaviour comes last.
struct Numbered<'d> {
    number: usize,
    behaviour: &'d Behaviour,
    default: bool,
}

impl Making<'_> {
    /// `overlaps`: a host of this distribution may be taken by another's `*.`, so even the default behaviour needs its place.
    fn squad(&mut self, printed: &Printed, several: bool, overlaps: bool) -> Squad {
        let config = &printed.config;
        let hosts = hosts(printed);
        let title = title(printed, &hosts);
        self.findings.turn_to(&title);
        whole::tell(config, self.findings);
        self.tell_hosts(config, &hosts, several);
        let whole = protect::whole(config, self.wishes, self.findings);
        let mut backends = Backends::new(config);
        let (mut routes, mut told) = (Vec::new(), Vec::new());
        for one in self.numbered(config) {
            let mut around = Around {
                found: self.found,
                wishes: self.wishes,
                whole: &whole,
                shared: hosts.len() > 1 || hosts.iter().any(|host| host.starts_with("*.")),
                backends: &mut backends,
                names: &mut self.backends,
                key_groups: &mut self.key_groups,
                findings: self.findings,
            };
            let made = behaviour::route(one.number, one.behaviour, one.default, &mut around);
            let Some((mut route, one_told)) = made else {
                continue;
            };
            if route.pattern.is_some() || overlaps {
                self.order = self.order.saturating_add(ORDER_STEP);
                route.order = Some(self.order);
                route.pattern.get_or_insert_with(|| "*".to_owned());
            }
            routes.push(route);
            told.push(one_told);
        }
        self.root_object(said(&config.default_root_object), &mut routes, &told);
        if !self.findings.has_errors() {
            lint::lint(&placed(&told), self.findings);
        }
        let apis: Vec<String> = told.iter().filter(|one| is_api(one)).map(shown).collect();
        let errors = whole::error_pages(config, &apis, self.findings);
        backends.tell_odd(self.findings);
        self.secrets.append(&mut backends.secrets);
        Squad {
            name: self.squads.claim(hosts.first().unwrap_or(&title), "imported"),
            title,
            source: plain(&printed.file),
            comment: plain(said(&config.comment).unwrap_or_default()),
            hosts,
            names_hosts: several,
            backends: backends.made,
            routes,
            errors,
            key_groups: std::mem::take(&mut self.key_groups.made),
            logs: config
                .logging
                .get()
                .is_some_and(|log| log.enabled.unwrap_or(true) && said(&log.bucket).is_some()),
            behaviours: told,
        }
    }

    /// What there is to say of the names that a distribution answers for.
    fn tell_hosts(&mut self, config: &Distribution, hosts: &[String], several: bool) {
        if hosts.is_empty() && several {
            self.findings.error(
                "no-host",
                "the distribution has no alias, and its own name is not in the file: nothing tells it apart from the others",
                "give what `aws cloudfront get-distribution` prints, or import it alone",
            );
        } else if config.aliases.items.is_empty() {
            self.findings.warning(
                "no-alias",
                "the distribution has no alias, so no host name of yours",
                "write the names that visitors use into `hosts` of banyan.toml",
            );
        }
        if hosts.iter().any(|host| !is_host(host)) {
            self.findings
                .error("bad-alias", "an alias is no host name", "mend it in the file");
        }
    }

    fn numbered<'d>(&mut self, config: &'d Distribution) -> Vec<Numbered<'d>> {
        let listed = &config.cache_behaviors.items;
        if listed.len() > BEHAVIOURS_MAX {
            self.findings.error(
                "too-many",
                format!(
                    "there are {} behaviours, at most {BEHAVIOURS_MAX} are read",
                    listed.len()
                ),
                "CloudFront has 75 of them, unless AWS allowed more",
            );
            return Vec::new();
        }
        let mut all: Vec<Numbered<'d>> = (1..)
            .zip(listed)
            .map(|(number, behaviour)| Numbered {
                number,
                behaviour,
                default: false,
            })
            .collect();
        match config.default_cache_behavior.get() {
            Some(behaviour) => all.push(Numbered {
                number: listed.len() + 1,
                behaviour,
                default: true,
            }),
            None => self.findings.error(
                "no-default",
                "there is no default behaviour",
                "give what the command line printed, as it is",
            ),
        }
        all
    }

    /// `/` is asked as the default root object, of the behaviour that takes `/`.
    fn root_object(&mut self, object: Option<&str>, routes: &mut Vec<Route>, told: &[Told]) {
        let Some(object) = object else { return };
        let path = format!("/{}", object.trim_start_matches('/'));
        if check_path(&path).is_err() {
            let what = format!("the default root object `{}` is not a plain path", plain(object));
            self.findings.error("bad-path", what, "mend it in the file");
            return;
        }
        let placed = placed(told);
        let number = |path: &str| lint::winner(&placed, path).map(|one| one.number);
        let (root, object) = (number("/"), number(&path));
        if root != object {
            let say = |number: Option<usize>| {
                let one = told.iter().find(|one| Some(one.number) == number);
                one.map(|one| format!("{} {}", one.number, shown(one)))
                    .unwrap_or_default()
            };
            self.findings.warning(
                "root-object",
                format!(
                    "`/` is asked as `{path}`: AWS does not say whether by the behaviour of `/` ({}) or by that of `{path}` ({}); the first is written",
                    say(root),
                    say(object)
                ),
                "ask CloudFront for `/` and see which of the two answers; change the route's `backend` if it is the other",
            );
        }
        let Some(at) = routes.iter().position(|route| Some(route.behaviour) == root) else {
            return;
        };
        let Some(taking) = routes.get_mut(at) else { return };
        if taking.pattern.as_deref() == Some("/") {
            taking.rewrite = Some(path);
            return;
        }
        let mut own = taking.clone();
        own.rewrite = Some(path);
        own.pattern = Some("/".to_owned());
        own.order = Some(match own.order {
            Some(order) => order.saturating_sub(ORDER_STEP / 2),
            None => {
                self.order = self.order.saturating_add(ORDER_STEP);
                self.order
            }
        });
        routes.insert(at, own);
    }
}

fn placed(told: &[Told]) -> Vec<Placed> {
    told.iter()
        .filter_map(|one| {
            Some(Placed {
                number: one.number,
                pattern: Pattern::parse(&one.pattern).ok()?,
                target: one.target.clone(),
                protected: one.signed,
            })
        })
        .collect()
}

fn shown(one: &Told) -> String {
    format!("`{}`", plain(&one.pattern))
}

/// What programs ask, by the look of its path.
fn is_api(one: &Told) -> bool {
    one.pattern
        .to_ascii_lowercase()
        .split(['/', '*', '.'])
        .any(|part| matches!(part, "api" | "apis" | "graphql" | "rpc" | "rest"))
}

fn hosts(printed: &Printed) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    let aliases = printed.config.aliases.items.iter();
    let own = printed
        .domain
        .iter()
        .filter(|_| printed.config.aliases.items.is_empty());
    for host in aliases.chain(own) {
        let host = host.to_ascii_lowercase();
        if !host.is_empty() && !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// As `CloudFront` takes them: letters, digits, `-` and `_`, and a `*` for the first label.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = host.strip_prefix("*.").unwrap_or(host);
    name.len() <= 253 && name.split('.').all(label)
}

fn title(printed: &Printed, hosts: &[String]) -> String {
    let id = printed.id.as_deref();
    plain(hosts.first().map(String::as_str).or(id).unwrap_or(&printed.file))
}

/// Gives each different value of a field a variable: by the field's name alone where all values are the same.
fn name_variables(squads: &mut [Squad], secrets: &[SecretField]) {
    let mut named: Vec<(&SecretField, String)> = Vec::new();
    let mut names = Names::default();
    for secret in secrets {
        let same_field = |other: &&SecretField| other.field.eq_ignore_ascii_case(&secret.field);
        let known = named
            .iter()
            .find(|(other, _)| same_field(other) && other.value == secret.value);
        let name = match known {
            Some((_, name)) => name.clone(),
            None => {
                let alone = secrets
                    .iter()
                    .filter(same_field)
                    .all(|other| other.value == secret.value);
                // a variable such as PATH is somebody else's
                let text = if alone && secret.field.contains('-') {
                    variable(&[&secret.field])
                } else {
                    variable(&[&secret.backend, &secret.field])
                };
                // by way of names, so that no two are the same
                variable(&[&names.claim(&text, "secret")])
            }
        };
        named.push((secret, name));
    }
    let backends: Vec<&mut Backend> = squads
        .iter_mut()
        .flat_map(|squad| squad.backends.iter_mut())
        .collect();
    for backend in backends {
        backend.headers = named
            .iter()
            .filter(|(secret, _)| secret.backend == backend.name)
            .map(|(secret, name)| (secret.field.clone(), name.clone()))
            .collect();
    }
    for told in squads.iter_mut().flat_map(|squad| squad.behaviours.iter_mut()) {
        told.added = named
            .iter()
            .filter(|(secret, _)| secret.backend == told.backend)
            .map(|(secret, _)| secret.field.clone())
            .collect();
    }
}

/// Room between two orders for a route that is put between them by hand.
const ORDER_STEP: i32 = 10;

/// AWS's quota is 75, and can be raised.
const BEHAVIOURS_MAX: usize = 1_000;
