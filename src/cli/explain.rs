//! `banyan explain URL`: what would happen to a request, and why, from files alone, or as a running router decides.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};

use super::{Exit, Site, live, site};
use crate::{
    clock,
    config::settings::TestUser,
    fields::Fields,
    gate::{KeySet, KeySource, TokenMemory, machine},
    snapshot::{
        Snapshot,
        decide::{Ask, Credential, Entrance},
        explain::{Explanation, explain as explained},
        prove,
    },
};

/// The request, and how the answer is told.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) site: Site,
    /// The address, as a browser has it, or only path and query.
    #[arg(value_name = "URL")]
    pub(super) url: String,
    /// The method.
    #[arg(short, long, default_value = "GET")]
    pub(super) method: String,
    /// A header field, `Name: value`; several times for several.
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub(super) headers: Vec<String>,
    /// A cookie, `name=value`; several times for several.
    #[arg(long = "cookie", value_name = "COOKIE")]
    pub(super) cookies: Vec<String>,
    /// As if this user were signed in.
    #[arg(long, value_name = "ID")]
    pub(super) user: Option<String>,
    /// With this role; several times for several.
    #[arg(long = "role", value_name = "ROLE", requires = "user")]
    pub(super) roles: Vec<String>,
    /// With this claim, `name=value`: `scope=orders:read`, `groups=staff`, `acr=mfa`, `auth_time=1767225600`; several times for several.
    #[arg(long = "claim", value_name = "CLAIM", requires = "user")]
    pub(super) claims: Vec<String>,
    /// The access token that a request bears (`Authorization: Bearer …`), judged with the keys of `[gate]`: `jwks` must be a file, or
    /// `--keys` names one.
    #[arg(long, value_name = "TOKEN", conflicts_with = "user")]
    pub(super) token: Option<String>,
    /// A file with the issuer's keys (JWKS), for `--token`.
    #[arg(long, value_name = "FILE", requires = "token")]
    keys: Option<std::path::PathBuf>,
    /// As if the visitor had this id (22 characters, as the cookie has it).
    #[arg(long, value_name = "ID")]
    pub(super) visitor: Option<String>,
    /// As if it came from this address: for routes that look at countries or addresses.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) client: Option<std::net::IpAddr>,
    /// As on the private listener.
    #[arg(long)]
    pub(super) private: bool,
    /// Ask the router that runs, by its admin listener: the same decision with its files, its keys, and its servers as they are now.
    #[arg(long, conflicts_with = "keys")]
    live: bool,
    /// The admin listener of the router, for `--live`; by itself the one that banyan.toml names.
    #[arg(long, value_name = "ADDRESS", env = "BANYAN_ADMIN")]
    pub(super) admin: Option<std::net::SocketAddr>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Explains.
pub(super) fn explain(options: &Options) -> Exit {
    let request = match Asked::parse(options) {
        Ok(request) => request,
        Err(error) => {
            eprintln!("banyan: {error}");
            return Exit::Usage;
        }
    };
    if options.live {
        return match live::explained(&request, options) {
            Ok(told) => tell(&told, &request, options),
            Err(failed) => {
                eprintln!("banyan: {}", failed.why);
                failed.exit
            }
        };
    }
    let loaded = match site::load(&options.site.config) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("banyan: {error}");
            return Exit::Invalid;
        }
    };
    let Some((_, snapshot)) = loaded.site else {
        site::print(&loaded.problems);
        return Exit::Invalid;
    };
    let is_token = |text: &String| !text.starts_with(machine::PREFIX); // a machine's key needs none of the issuer's
    if options.token.as_ref().is_some_and(is_token)
        && let Err(error) = read_keys(options, &snapshot)
    {
        eprintln!("banyan: {error}");
        return Exit::Usage;
    }
    tell(&request.explain(&snapshot, options), &request, options)
}

fn tell(explanation: &Explanation, request: &Asked, options: &Options) -> Exit {
    if options.json {
        match serde_json::to_string_pretty(explanation) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("banyan: {error}");
                return Exit::Failure;
            }
        }
    } else {
        print!("{explanation}");
        request.add_notes(explanation, options);
    }
    Exit::Ok
}

/// The request, read.
pub(super) struct Asked {
    /// What `--claim` says.
    claims: serde_json::Map<String, serde_json::Value>,
    method: Method,
    pub(super) host: Option<String>,
    /// The address begins with `http://`.
    pub(super) plain: bool,
    pub(super) target: String,
    headers: Fields,
    entropy: Option<[u8; 16]>,
}

impl Asked {
    fn parse(options: &Options) -> Result<Self, String> {
        let method = options.method.to_ascii_uppercase();
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("{method:?} is no method"))?;
        if !options.url.starts_with('/')
            && !options.url.starts_with("http://")
            && !options.url.starts_with("https://")
        {
            return Err(format!(
                "{:?} is no address: write `/{}`, or a whole one with https://",
                options.url, options.url
            ));
        }
        let uri: Uri = options
            .url
            .parse()
            .map_err(|error| format!("{:?} is no address: {error}", options.url))?;
        let target = uri
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string);
        let mut headers = HeaderMap::new();
        for field in &options.headers {
            let (name, value) = parse_field(field)?;
            headers.append(name, value);
        }
        if !options.cookies.is_empty() {
            let cookies = HeaderValue::try_from(options.cookies.join("; "));
            headers.append(
                header::COOKIE,
                cookies.map_err(|_| "a cookie has characters that none may have".to_owned())?,
            );
        }
        let entropy = options.visitor.as_deref().map(parse_visitor).transpose()?;
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .map(|host| host.split(':').next().unwrap_or(host).to_ascii_lowercase());
        if let Some(token) = &options.token {
            let field = HeaderValue::try_from(format!("Bearer {}", token.trim()));
            headers.insert(
                header::AUTHORIZATION,
                field.map_err(|_| "the token has characters that none may have".to_owned())?,
            );
        }
        Ok(Self {
            claims: prove::claims(options.claims.iter().map(String::as_str))?,
            method,
            host: host.or_else(|| uri.host().map(str::to_ascii_lowercase)),
            plain: uri.scheme_str() == Some("http"),
            target,
            headers: headers.into(),
            entropy,
        })
    }

    fn explain(&self, at: &Snapshot, options: &Options) -> Explanation {
        let user = options.user.clone().map(|id| TestUser {
            id,
            roles: options.roles.clone(),
            claims: self.claims.clone(),
        });
        let identity = user.as_ref().map(prove::identity).map(Arc::new);
        let own_host = at.hosts.first().map_or("localhost", String::as_str);
        let memory = TokenMemory::new();
        let ask = Ask {
            entrance: match (options.private, self.plain) {
                (true, _) => Entrance::Private,
                (false, true) => Entrance::Plain(Version::HTTP_11),
                (false, false) => Entrance::Public,
            },
            method: &self.method,
            host: self.host.as_deref().unwrap_or(own_host),
            target: &self.target,
            headers: &self.headers,
            client: options.client,
            credential: Credential::Pretend(identity.as_ref()),
            entropy: self.entropy.unwrap_or_default(),
        };
        let ask = match &options.token {
            Some(_) => Ask {
                credential: Credential::Fields(&memory),
                ..ask
            },
            None => ask,
        };
        explained(&ask, clock::wall(), at)
    }
}

impl Asked {
    /// What the answer does not say by itself.
    fn add_notes(&self, told: &Explanation, options: &Options) {
        let auth = told.gate.as_ref().map_or("none", |gate| gate.auth.as_str());
        if auth == "none" && options.user.is_some() {
            println!("  note      --user is not looked at: this route's auth is \"none\"");
        }
        if auth == "none" && options.token.is_some() {
            println!("  note      --token is not looked at: this route's auth is \"none\"");
        }
        if auth != "none" && options.token.is_none() && self.headers.contains_key(header::AUTHORIZATION) {
            println!("  note      tokens are judged with --token; or say who it is with --user and --role");
        }
        if self.entropy.is_none() && told.visitor.as_ref().is_some_and(|visitor| visitor.set) {
            println!(
                "  note      a new visitor may come out otherwise: its place is drawn at random; --visitor asks for one"
            );
        }
    }
}

/// Puts the issuer's keys where the gate looks for them.
fn read_keys(options: &Options, at: &Snapshot) -> Result<(), String> {
    let gate = at
        .gate
        .as_ref()
        .ok_or("there is no `[gate]` that could judge a token")?;
    let file = match (&options.keys, &gate.source) {
        (Some(file), _) | (None, KeySource::File(file)) => file,
        (None, KeySource::Nowhere) => return Ok(()), // no signed token counts
        (None, KeySource::Url(url)) => {
            return Err(format!(
                "the keys are at {url}, and nothing is fetched here; name a file of them with --keys"
            ));
        }
    };
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (keys, _) = KeySet::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    gate.keys.store(Arc::new(keys));
    Ok(())
}

fn parse_field(field: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || format!("{field:?} is no header field; write `Name: value`");
    let (name, value) = field.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
    Ok((name, value))
}

/// An id is 128 bits in base64url; given as the bits of a fresh visitor, the decision is the one its cookie would get.
fn parse_visitor(id: &str) -> Result<[u8; 16], String> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let bytes = URL_SAFE_NO_PAD
        .decode(id)
        .ok()
        .and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("{id:?} is no visitor id; it has 22 characters of A-Z a-z 0-9 - _"))
}
