//! A site from its files, for the commands that serve nothing.

use std::{io::IsTerminal, path::Path};

use crate::{
    config::{self, Problems, settings::Settings},
    snapshot::{
        Snapshot,
        compile::{Means, compile},
    },
    tls,
    visitor::{SigningKey, VisitorSettings},
};

/// What the files of a site came to.
pub(super) struct Loaded {
    pub(super) problems: Problems,
    pub(super) site: Option<(Settings, Snapshot)>,
}

/// Loads and compiles the site of `config`, a `banyan.toml`. Writes nothing: cookies are signed with a key of no secret.
pub(super) fn load(config: &Path) -> Result<Loaded, String> {
    let loaded = config::load_folder(config, &config::process_env);
    let (Some(settings), false) = (loaded.settings, loaded.problems.has_errors()) else {
        return Ok(Loaded {
            problems: loaded.problems,
            site: None,
        });
    };
    let visitors = VisitorSettings {
        keys: vec![SigningKey {
            id: "files".to_owned(),
            secret: vec![0; 32],
        }],
        max_age: std::time::Duration::from_secs(180 * 86_400),
        ..VisitorSettings::default()
    };
    let tls = |ca: Option<&Path>| tls::client_config(ca).map_err(|error| error.to_string());
    let means = Means {
        previous: None,
        visitors: &visitors,
        sessions: &[],
        tls: &tls,
    };
    match compile(&settings, 0, &means) {
        Ok(snapshot) => Ok(Loaded {
            problems: loaded.problems,
            site: Some((settings, snapshot)),
        }),
        Err(problems) => {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Err(texts.join("\n"))
        }
    }
}

/// Prints problems for a person, on standard error.
pub(super) fn print(problems: &Problems) {
    let width = std::io::stderr().is_terminal().then_some(110);
    eprint!("{}", problems.to_text(width));
}
