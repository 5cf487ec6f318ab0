//! `banyan explain --live`: what a router that runs would do with a request.

use serde_json::{Map, Value, json};

use super::{
    Exit,
    explain::{Asked, Options},
    flag::{Failed, Router},
};
use crate::{
    config::{self, Sources},
    snapshot::explain::Explanation,
};

/// What the router says.
pub(super) fn explained(request: &Asked, options: &Options) -> Result<Explanation, Failed> {
    let told = router(options)?.post("/api/decide", &question(request, options))?;
    let explained = told.get("request").cloned().unwrap_or_default();
    serde_json::from_value(explained).map_err(|error| {
        let why = format!("the router answers what this version of banyan does not understand: {error}");
        Failed::new(Exit::Failure, why)
    })
}

/// The request as the admin API takes it: all in a body, since what is in an address ends up in logs.
fn question(request: &Asked, options: &Options) -> Value {
    let url = match &request.host {
        Some(host) => {
            let scheme = if request.plain { "http" } else { "https" };
            format!("{scheme}://{host}{}", request.target)
        }
        None => request.target.clone(),
    };
    let mut headers = Map::new();
    for field in &options.headers {
        let (name, value) = field.split_once(':').unwrap_or((field, ""));
        let value = value.trim();
        match headers.get_mut(name.trim()) {
            Some(before) => *before = json!(format!("{}, {value}", before.as_str().unwrap_or_default())),
            None => {
                headers.insert(name.trim().to_owned(), json!(value));
            }
        }
    }
    let mut question = json!({
        "url": url, "method": options.method, "headers": headers, "cookies": options.cookies, "roles": options.roles,
        "claims": options.claims, "private": options.private,
    });
    let others = [
        ("user", options.user.clone()),
        ("token", options.token.clone()),
        ("visitor", options.visitor.clone()),
        ("client", options.client.map(|client| client.to_string())),
    ];
    if let Some(question) = question.as_object_mut() {
        let said = others
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
        question.extend(said);
    }
    question
}

fn router(options: &Options) -> Result<Router, Failed> {
    let sources = Sources::read(&options.site.config);
    let isolated = config::isolate(&sources, &Sources::empty(&sources.folder), &config::process_env);
    let edge = isolated.settings.as_ref().map(|settings| &settings.edge);
    let address = options.admin.or_else(|| edge.and_then(|edge| edge.listen.admin));
    let Some(address) = address else {
        let why = "`--live` asks a running router: name its admin listener by `--admin`, or by `listen.admin` in banyan.toml";
        return Err(Failed::new(Exit::Usage, why));
    };
    let router = Router::at(address, edge.map(|edge| edge.state.as_path()))?;
    router.greet()?;
    Ok(router)
}
