//! What `tidy` holds the code to, as tables: who may name whom, what stays where, which words are not ours.

/// Top-level modules and which others each may name, in reading order. What may be named is what it is built on.
pub(super) const LAYERS: [(&str, &[&str]); 34] = [
    ("name", &[]),
    ("clock", &[]),
    ("limits", &[]),
    ("courtesy", &[]),
    ("websocket", &[]),
    ("stream", &[]),
    ("body", &["http1", "http2", "tunnel"]), // a body is what either protocol makes of it
    ("fields", &[]),
    ("wire", &["body", "fields", "message"]),
    ("message", &["body", "fields", "wire"]), // a head says what its connection shall become
    ("tunnel", &["limits", "stream", "wire"]),
    (
        "http1",
        &[
            "body",
            "clock",
            "fields",
            "limits",
            "message",
            "stream",
            "tunnel",
            "websocket",
            "wire",
        ],
    ),
    (
        "http2",
        &[
            "body",
            "clock",
            "fields",
            "limits",
            "message",
            "stream",
            "tunnel",
            "websocket",
            "wire",
        ],
    ),
    ("shield", &["clock"]),
    ("tls", &["clock", "stream"]),
    ("visitor", &["clock", "fields"]),
    ("route", &["courtesy", "fields", "name"]),
    (
        "policy",
        &["clock", "fields", "message", "name", "route", "shield"],
    ),
    ("gate", &["clock", "fields", "name", "visitor"]),
    ("room", &["clock", "name"]),
    ("drill", &["clock", "fields"]),
    ("flag", &["clock", "fields", "name", "visitor"]),
    (
        "backend",
        &[
            "body", "clock", "fields", "http1", "http2", "limits", "message", "name", "shield", "stream",
            "wire",
        ],
    ),
    (
        "config",
        &[
            "backend", "cache", "clock", "courtesy", "flag", "gate", "limits", "name", "policy", "room",
            "route", "shield", "visitor",
        ],
    ),
    (
        "snapshot",
        &[
            "backend", "clock", "config", "courtesy", "drill", "fields", "flag", "gate", "limits", "name",
            "policy", "room", "route", "shield", "visitor",
        ],
    ),
    (
        "ofrep",
        &["clock", "fields", "flag", "gate", "name", "snapshot", "visitor"],
    ),
    ("observe", &["clock", "fields", "message", "name"]),
    (
        "cache",
        &[
            "body", "clock", "courtesy", "fields", "observe", "policy", "route",
        ],
    ),
    (
        "proxy",
        &[
            "backend", "body", "cache", "clock", "drill", "fields", "flag", "gate", "http1", "http2",
            "limits", "message", "name", "observe", "ofrep", "policy", "room", "route", "shield", "snapshot",
            "stream", "tls", "tunnel", "visitor", "wire",
        ],
    ),
    (
        "control",
        &[
            "backend", "cache", "clock", "config", "drill", "fields", "flag", "gate", "http1", "limits",
            "name", "observe", "ofrep", "room", "route", "snapshot", "stream", "tls", "visitor", "wire",
        ],
    ),
    ("import", &["backend", "name", "policy", "route"]),
    ("demo", &[]),
    (
        "handover",
        &[
            "clock", "config", "control", "limits", "observe", "snapshot", "wire",
        ],
    ),
    // The only places where planes meet.
    (
        "serve",
        &[
            "cache", "clock", "config", "control", "gate", "handover", "limits", "observe", "proxy",
            "snapshot", "tls", "wire",
        ],
    ),
];

/// May name everything.
pub(super) const RIM: [&str; 3] = ["cli", "lib", "main"];

/// What only some places may name, and why.
pub(super) const KEPT_TO: [(&str, &[&str], &str); 23] = [
    ("toml", &["config"], "only config knows TOML"),
    ("toml_edit", &["control/edit"], "files are edited in one place"),
    (
        "redb",
        &["control/history"],
        "what was changed is kept in one place",
    ),
    ("papaya", &["cache/store"], "one table is shared by all cores"),
    ("miette", &["config/render.rs"], "problems are drawn in one place"),
    (
        "maxminddb",
        &["policy/geo.rs"],
        "where visitors are is looked up in one place",
    ),
    (
        "schemars",
        &[
            "config",
            "control/admin",
            "gate/source.rs", // named in files
            "snapshot/diff.rs",
            "snapshot/error_pages.rs",
            "snapshot/explain.rs",
            "snapshot/gate.rs",
            "snapshot/goes.rs",
        ],
        "schemas are of files and of what the admin API answers",
    ),
    (
        "hickory_resolver",
        &["backend/resolve.rs"],
        "names are asked for in one place",
    ),
    ("clap", &["cli"], "only the command line knows its arguments"),
    ("axum", &["control"], "only the control plane has an API"),
    ("notify", &["control/watch.rs"], "files are watched in one place"),
    ("prometheus_client", &["observe"], "metrics are made in observe"),
    (
        "h2",
        &["http2", "body.rs", "wire.rs", "tunnel/io.rs"],
        "HTTP/2's library is http2's, but for what its streams and errors are to bodies and tunnels",
    ),
    ("httparse", &["http1"], "HTTP/1's scanner is known to http1 alone"),
    (
        "hyper",
        &[
            "cli/flag",
            "demo",
            "control/jwks.rs",
            "control/provider",
            "control/admin/mod.rs",
        ],
        "no request passes through hyper",
    ),
    (
        "rustls",
        &[
            "tls",
            "backend",
            "control",
            "snapshot/compile.rs",
            "proxy/refusal.rs",
        ],
        "TLS is tls's, but for who is connected to",
    ),
    (
        "tokio",
        &[
            "stream",
            "body.rs",
            "wire.rs",
            "tunnel",
            "snapshot/mod.rs",      // the bell that asks for missing keys
            "snapshot/provider.rs", // the way to who speaks to the identity provider
            "snapshot/live.rs",     // those that tell of swaps and of changes
            "ofrep/events.rs",
            "shield/line.rs",   // who waits is told by a channel
            "cache/store/disk", // as is who waits for a file
            "http1",
            "http2",
            "tls",
            "backend",
            "observe",
            "proxy",
            "control",
            "demo",
            "handover",
            "serve.rs",
            "cli/flag",
            "cli/run.rs",
        ],
        "deciding is pure: no socket, no timer, no task",
    ),
    (
        "TcpStream",
        &[
            "stream",
            "tls/acceptor.rs",
            "backend/connect.rs",
            "proxy/listen.rs",
            "cli/flag",
            "control",
            "demo",
        ],
        "connections are made and taken at the rim",
    ),
    ("brotli", &["proxy/compress"], "encoders are kept in one place"),
    ("flate2", &["proxy/compress"], "encoders are kept in one place"),
    ("zstd", &["proxy/compress"], "encoders are kept in one place"),
    ("UdpSocket", &[], "nothing speaks UDP but the resolver's library"),
    (
        "arc_swap",
        &[
            "snapshot",
            "control",
            "gate/assertion.rs",
            "tls/acceptor.rs",
            "cache/store",
            "gate/session/revoked.rs",
            "backend/group.rs",
            "backend/names.rs",
        ],
        "only what is published whole is swapped",
    ),
];

/// Calls that only some places may make.
pub(super) const CALLS: [(&str, &[&str], &str); 5] = [
    (
        "Instant::now(",
        &[
            "clock.rs",
            "http1/timer.rs",
            "backend/pool.rs",
            "http2",
            "tunnel",
            "tls",
        ],
        "time is read in clock.rs",
    ),
    ("SystemTime::now(", &["clock.rs"], "time is read in clock.rs"),
    (
        "fs::",
        &[
            "config/sources.rs",
            "cache/store/disk",
            "control",
            "tls",
            "observe",
            "handover",
            "cli",
        ],
        "files are read and written at the rim",
    ),
    (
        "env::",
        &["config/mod.rs", "control/publish.rs", "handover", "cli"],
        "the environment is read at the rim",
    ),
    ("process::exit(", &[], "main returns the exit code"),
];

/// Words of which the project has another one; `design.md` says which.
pub(super) const OTHER_WORDS: [(&str, &str); 7] = [
    ("upstream", "backend"),
    ("downstream", "client"),
    ("origin", "backend"),
    ("cluster", "backend"),
    ("arm", "variant"),
    ("experiment", "flag"),
    ("tenant", "squad"),
];

/// Modules that speak of what others configured, in their words.
pub(super) const TRANSLATORS: [&str; 1] = ["import"];

/// Where such a word is somebody else's: RFC 9112's `origin-form`, `Origin` and the fields around it.
pub(super) const ALLOWED_WORDS: [(&str, &str); 15] = [
    ("cluster", "X_CLUSTER_CLIENT_IP"),
    ("origin", "access-control-allow-origin"),
    ("cluster", "x-cluster-client-ip"),
    ("origin", "cross-origin-"),
    ("origin", "strict-origin-when-cross-origin"),
    ("origin", "same-origin"),
    ("origin", "origin_form"),
    ("origin", "origin-form"),
    ("origin", "\"origin\""),
    ("origin", "ORIGIN"),
    ("origin", "OriginDnsError"), // words of CloudFront's log
    ("origin", "OriginConnectError"),
    ("origin", "OriginCommError"),
    ("origin", "OriginHeaderTooBigError"),
    ("origin", "OriginInvalidResponseError"),
];

/// Files in which such a word is the right one.
pub(super) const AT_HOME: [(&str, &[&str]); 1] = [
    // Fetch's name for where a script came from, which its `Origin` field says
    (
        "origin",
        &[
            "policy/cors.rs",
            "config/cors.rs",
            "config/who.rs",
            "gate/csrf.rs",
            "gate/requirement.rs",
            "snapshot/admit.rs",
        ],
    ),
];

/// Names that say nothing about what is inside.
pub(super) const EMPTY_NAMES: [&str; 9] = [
    "utils", "util", "common", "helpers", "helper", "manager", "misc", "core", "base",
];

pub(super) const FILE_LINES_MAX: usize = 500;

/// Tests are read one by one, so a file of them may be longer.
pub(super) const TEST_LINES_MAX: usize = 700;

/// Files above [`FILE_LINES_MAX`], each with why it stays whole.
pub(super) const LONG_FILES: [(&str, usize, &str); 1] = [(
    "config/routes.rs",
    545,
    "one kind of file, its type and its judgement, read top down",
)];
