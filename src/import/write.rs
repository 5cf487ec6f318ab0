//! Writes the files: each table with where it comes from above it.

use std::fmt::Write as _;

use super::{
    Wishes,
    keys::{self, COMPRESSED_BYTES, REFUSED_METHOD_STATUS},
    names::plain,
    plan::{
        Answer, Backend, Choice, Cors, ErrorPage, Forward, Host, Hsts, Https, Kept, KeyGroup, Route, Squad,
        Told,
    },
    protect::NOBODY_NAME,
    toml_text::{duration, key, list, statuses, table, text, variable},
};

/// Everything that is written, by path below the site's folder.
pub(super) fn files(squads: &[Squad], wishes: &Wishes) -> Vec<(String, String)> {
    let mut files = vec![("banyan.toml".to_owned(), operator(squads, wishes))];
    for squad in squads {
        files.push((format!("routes/{}.toml", squad.name), routes(squad)));
    }
    for (id, pem) in squads
        .iter()
        .flat_map(|squad| &squad.key_groups)
        .flat_map(|group| &group.keys)
    {
        let path = format!("keys/{id}.pem");
        if !files.iter().any(|(known, _)| *known == path) {
            files.push((path, pem.clone()));
        }
    }
    if squads
        .iter()
        .any(|squad| squad.backends.iter().any(|backend| !backend.headers.is_empty()))
    {
        files.push((".env.example".to_owned(), environment(squads)));
    }
    files
}

/// A file while it grows. A `String` takes every write, so their results say nothing.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }

    fn pair(&mut self, key: &str, value: impl AsRef<str>) {
        let _ = writeln!(self.0, "{key} = {}", value.as_ref());
    }

    /// A comment: what came from elsewhere can't end it.
    fn comment(&mut self, text: &str) {
        let _ = writeln!(self.0, "# {}", plain(text));
    }

    fn gap(&mut self) {
        self.0.push('\n');
    }
}

// === banyan.toml ===

fn operator(squads: &[Squad], wishes: &Wishes) -> String {
    let mut page = Page::default();
    page.comment("Imported from CloudFront. Copy the parts that you need if there is a banyan.toml already.");
    page.gap();
    let mut hosts: Vec<String> = Vec::new();
    for host in squads.iter().flat_map(|squad| &squad.hosts) {
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    if hosts.is_empty() {
        page.comment(
            "The distribution has no alias: write the names that visitors use, or any name is answered.",
        );
        page.line("# hosts = [\"www.example.com\"]");
    } else {
        page.comment("Aliases.");
        page.pair("hosts", list(&hosts));
    }
    page.gap();
    page.line("[listen]");
    page.line("https = [\"[::]:443\"]  # certificates for the hosts above are looked for in certs/");
    page.line("http = [\"[::]:80\"]");
    page.line("admin = \"127.0.0.1:9901\"");
    if squads.iter().any(|squad| squad.logs) {
        page.gap();
        page.comment(
            "The fields that Logging wrote into a bucket, so that tools which read them go on working.",
        );
        page.line("[log]");
        page.line("format = \"cloudfront\"");
    }
    let needs_database = |name: &String| keys::viewer_field(name).is_some_and(|(_, needs)| needs);
    let mut routes = squads.iter().flat_map(|squad| &squad.routes);
    let needed = routes.any(|route| route.geo.is_some() || route.forward.viewer.iter().any(needs_database));
    if let (Some(file), true) = (&wishes.geo_database, needed) {
        page.gap();
        page.comment(
            "Tells which country a visitor is in (GeoRestriction, CloudFront-Viewer-Country and the like).",
        );
        page.line("[geo]");
        page.pair("database", text(file));
    }
    for group in squads.iter().flat_map(|squad| &squad.key_groups) {
        key_group(&mut page, group);
    }
    if let [squad] = squads {
        for errors in &squad.errors {
            page.gap();
            page.comment("CustomErrorResponses.");
            page.line("[[errors]]");
            error_page(&mut page, errors);
        }
    }
    page.0
}

fn key_group(page: &mut Page, group: &KeyGroup) {
    page.gap();
    page.comment(&group.about);
    if group.keys.is_empty() && group.name != NOBODY_NAME {
        page.comment("Nobody passes until a public key is here:");
        page.comment("K2JCJMDEHXQW5F = \"keys/K2JCJMDEHXQW5F.pem\"");
    }
    page.line(format!("[key_groups.{}]", key(&group.name)));
    for (id, _) in &group.keys {
        page.pair(&key(id), text(&format!("keys/{id}.pem")));
    }
}

fn error_page(page: &mut Page, errors: &ErrorPage) {
    page.pair(keys::errors::STATUS, statuses(&errors.status));
    page.pair(keys::errors::PAGE, text(&errors.page));
    if let Some(status) = errors.answer_status {
        page.pair(keys::errors::ANSWER_STATUS, status.to_string());
    }
}

// === .env.example ===

fn environment(squads: &[Squad]) -> String {
    let mut page = Page::default();
    page.comment(
        "Values of headers that backends are sent. They were left out of everything that was written;",
    );
    page.comment(
        "CustomHeaders of the distribution has them. Keep the copy with values out of version control.",
    );
    let backends: Vec<&Backend> = squads.iter().flat_map(|squad| &squad.backends).collect();
    let mut told: Vec<&str> = Vec::new();
    for (field, name) in backends.iter().flat_map(|backend| &backend.headers) {
        if told.contains(&name.as_str()) {
            continue;
        }
        told.push(name);
        let users: Vec<&str> = backends
            .iter()
            .filter(|backend| backend.headers.iter().any(|(_, used)| used == name))
            .map(|backend| backend.name.as_str())
            .collect();
        page.gap();
        page.comment(&format!("{field} of {}", users.join(", ")));
        page.line(format!("{name}="));
    }
    page.0
}

// === routes/<squad>.toml ===

fn routes(squad: &Squad) -> String {
    let mut page = Page::default();
    page.comment(&format!(
        "Imported from the distribution {} ({}).",
        squad.title, squad.source
    ));
    if !squad.comment.is_empty() {
        page.comment(&squad.comment);
    }
    page.comment("Routes stand in the order of its behaviours; the lower `order` is tried first, and the first match wins.");
    page.pair("squad", text(&squad.name));
    for one in &squad.backends {
        backend(&mut page, one);
    }
    for one in &squad.routes {
        let told = squad.behaviours.iter().find(|told| told.number == one.behaviour);
        route(&mut page, one, told, squad);
    }
    page.0
}

fn backend(page: &mut Page, backend: &Backend) {
    use keys::backend::{
        ATTEMPTS, BETWEEN_BYTES_TIMEOUT, CONNECT_TIMEOUT, FIRST_BYTE_TIMEOUT, HEADERS, HOST, IDLE_TIMEOUT,
        PATH, SERVERS, TOTAL_TIMEOUT,
    };
    page.gap();
    let host = match backend.host {
        Host::Visitor => "asked by the name that the visitor asked for",
        Host::Server => "asked by its own name",
    };
    page.comment(&format!("Origin {}, {host}.", plain(&backend.id)));
    page.line(format!("[backends.{}]", key(&backend.name)));
    page.pair(SERVERS, list(std::slice::from_ref(&backend.server)));
    if !backend.path.is_empty() {
        page.pair(PATH, text(&backend.path));
    }
    page.pair(
        HOST,
        match backend.host {
            Host::Visitor => "\"visitor\"",
            Host::Server => "\"server\"",
        },
    );
    if !backend.headers.is_empty() {
        let pairs: Vec<(String, String)> = backend
            .headers
            .iter()
            .map(|(field, name)| (field.clone(), variable(name)))
            .collect();
        page.pair(HEADERS, table(&pairs));
    }
    page.pair(CONNECT_TIMEOUT, duration(backend.connect_timeout));
    page.pair(FIRST_BYTE_TIMEOUT, duration(backend.read_timeout));
    page.pair(BETWEEN_BYTES_TIMEOUT, duration(backend.read_timeout));
    page.pair(IDLE_TIMEOUT, duration(backend.idle_timeout));
    if let Some(seconds) = backend.total_timeout {
        page.pair(TOTAL_TIMEOUT, duration(seconds));
    }
    page.pair(ATTEMPTS, backend.attempts.to_string());
}

fn route(page: &mut Page, route: &Route, told: Option<&Told>, squad: &Squad) {
    use keys::route::{
        ALLOWED_METHODS, BACKEND, COMPRESS, ERRORS, FAILOVER, FORWARD, GEO, HOSTS, HTTPS, ORDER, PATH,
        PATTERN, REFUSED_METHOD_STATUS as REFUSED, REWRITE, SIGNED,
    };
    page.gap();
    above(page, route, told, squad);
    page.line("[[routes]]");
    match (&route.pattern, route.order) {
        (Some(pattern), Some(order)) => {
            page.pair(PATTERN, text(pattern));
            page.pair(ORDER, order.to_string());
        }
        _ => page.pair(PATH, "\"/*\""),
    }
    if squad.names_hosts {
        page.pair(HOSTS, list(&squad.hosts));
    }
    page.pair(BACKEND, text(&route.backend));
    if let Some(failover) = &route.failover {
        let value = format!(
            "{{ backend = {}, on = {} }}",
            text(&failover.backend),
            statuses(&failover.on)
        );
        page.pair(FAILOVER, value);
    }
    page.pair(
        HTTPS,
        match route.https {
            Https::Redirect => "\"redirect\"",
            Https::Only => "\"only\"",
            Https::Allow => "\"allow\"",
        },
    );
    page.pair(ALLOWED_METHODS, list(&route.methods));
    page.pair(REFUSED, REFUSED_METHOD_STATUS.to_string());
    if let Some(path) = &route.rewrite {
        page.pair(REWRITE, text(path));
    }
    if !route.compress.is_empty() {
        let encodings: Vec<String> = route.compress.iter().map(|name| (*name).to_owned()).collect();
        let (min, max) = COMPRESSED_BYTES;
        page.pair(
            COMPRESS,
            format!("{{ encodings = {}, min = {min}, max = {max} }}", list(&encodings)),
        );
    }
    page.line(format!("[{FORWARD}]"));
    forward(page, &route.forward);
    if let Some(kept) = &route.kept {
        cache(page, kept);
    }
    answer(page, &route.answer);
    if !route.signed.is_empty() {
        page.line(format!("[{SIGNED}]"));
        page.pair("keys", list(&route.signed));
    }
    if let Some(geo) = &route.geo {
        page.line(format!("[{GEO}]"));
        if geo.deny.is_empty() {
            page.pair("allow", list(&geo.allow));
        } else {
            page.pair("deny", list(&geo.deny));
        }
    }
    if squad.names_hosts {
        for errors in &squad.errors {
            page.line(format!("[[{ERRORS}]]"));
            error_page(page, errors);
        }
    }
}

/// Which behaviour of which distribution a route is, and what people should know of it.
fn above(page: &mut Page, route: &Route, told: Option<&Told>, squad: &Squad) {
    let Some(told) = told else { return };
    let which = if told.default {
        format!("The default behaviour of {}", squad.title)
    } else {
        format!(
            "Behaviour {} of {}, `{}`",
            told.number,
            squad.title,
            plain(&told.pattern)
        )
    };
    let root = if route.rewrite.is_some() {
        ", for its DefaultRootObject"
    } else {
        ""
    };
    page.comment(&format!("{which}{root}: to {}.", told.target));
    if !told.cached.starts_with("no") {
        page.comment(&format!("Kept by CloudFront: {}.", told.cached));
    }
    if !route.signed.is_empty() {
        page.comment(&format!("Protected: {}.", told.protected));
    }
    if !route.answer.policy.is_empty() {
        page.comment(&format!("Response headers policy: {}.", route.answer.policy));
    }
}

/// Which of many pass.
fn choice(choice: &Choice) -> String {
    use keys::forward::{EXCEPT, ONLY};
    match choice {
        Choice::All => "\"all\"".to_owned(),
        Choice::None => "\"none\"".to_owned(),
        Choice::Only(names) => format!("{{ {ONLY} = {} }}", list(names)),
        Choice::Except(names) => format!("{{ {EXCEPT} = {} }}", list(names)),
    }
}

fn cache(page: &mut Page, kept: &Kept) {
    use keys::{
        cache::{STALE_IF_ERROR, TTL, UNKEYED},
        forward::{COOKIES, HEADERS, QUERY},
    };
    page.line(format!("[{}]", keys::route::CACHE));
    let [min, default, max] = [kept.min, kept.default, kept.max].map(duration);
    page.pair(
        TTL,
        format!("{{ min = {min}, default = {default}, max = {max} }}"),
    );
    page.pair(STALE_IF_ERROR, duration(keys::STALE_IF_ERROR_SECONDS));
    if !kept.headers.is_empty() {
        page.pair(HEADERS, list(&kept.headers));
    }
    page.pair(COOKIES, choice(&kept.cookies));
    page.pair(QUERY, choice(&kept.query));
    page.pair(UNKEYED, choice(&kept.unkeyed));
}

fn forward(page: &mut Page, forward: &Forward) {
    use keys::forward::{COOKIES, HEADERS, QUERY};
    page.pair(HEADERS, choice(&forward.headers));
    page.pair(COOKIES, choice(&forward.cookies));
    page.pair(QUERY, choice(&forward.query));
    if !forward.viewer.is_empty() {
        page.line(format!("[{}]", keys::route::VIEWER));
        page.pair(HEADERS, list(&forward.viewer));
    }
}

fn answer(page: &mut Page, answer: &Answer) {
    use keys::response::{DEFAULT, HSTS, REMOVE, SECURITY, SERVER_TIMING, SET};
    use keys::route::RESPONSE;
    let says_nothing = answer.remove.is_empty()
        && !answer.preset
        && answer.set.is_empty()
        && answer.default.is_empty()
        && answer.hsts.is_none()
        && answer.server_timing.is_none();
    if !says_nothing {
        page.line(format!("[{RESPONSE}]"));
        if !answer.remove.is_empty() {
            page.pair(REMOVE, list(&answer.remove));
        }
        if answer.preset {
            page.pair(SECURITY, "\"standard\"");
        }
        for (key, fields) in [(SET, &answer.set), (DEFAULT, &answer.default)] {
            if !fields.is_empty() {
                let pairs: Vec<(String, String)> = fields
                    .iter()
                    .map(|(name, value)| (name.clone(), text(value)))
                    .collect();
                page.pair(key, table(&pairs));
            }
        }
        if let Some(hsts) = &answer.hsts {
            page.pair(HSTS, hsts_table(hsts));
        }
        if let Some(percent) = answer.server_timing {
            page.pair(SERVER_TIMING, format!("{percent:?}"));
        }
    }
    if let Some(cors) = &answer.cors {
        cors_table(page, cors);
    }
}

fn hsts_table(hsts: &Hsts) -> String {
    let Hsts {
        max_age,
        subdomains,
        preload,
        wins,
    } = hsts;
    format!(
        "{{ max_age = {}, subdomains = {subdomains}, preload = {preload}, override = {wins} }}",
        duration(*max_age)
    )
}

fn cors_table(page: &mut Page, cors: &Cors) {
    use keys::{
        response::{CREDENTIALS, EXPOSE, HEADERS, MAX_AGE, METHODS, ORIGINS, OVERRIDE},
        route::CORS,
    };
    page.line(format!("[{CORS}]"));
    page.pair(ORIGINS, list(&cors.origins));
    for (key, values) in [
        (METHODS, &cors.methods),
        (HEADERS, &cors.headers),
        (EXPOSE, &cors.expose),
    ] {
        if !values.is_empty() {
            page.pair(key, list(values));
        }
    }
    page.pair(CREDENTIALS, cors.credentials.to_string());
    if let Some(seconds) = cors.max_age {
        page.pair(MAX_AGE, duration(seconds));
    }
    page.pair(OVERRIDE, cors.wins.to_string());
}
