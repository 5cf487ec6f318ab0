//! What an operator sees: the access log, metrics, and how soon a saved file is in force.

use std::{fmt::Write as _, fs, os::unix::fs::symlink, time::Duration};

use banyan::clock;
use http::Response;
use serde_json::{Value, json};

use crate::{
    backend::{Server, Speaks, full, hello},
    client::{Http, until},
    world::World,
};

const FLAG: &str = "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[rollout]\nnew = 100.0\n";
const ROUTES: &str = "[[routes]]\npath = \"/*\"\nbackend = \"legacy\"\n\
    [[routes]]\npath = \"/courses/{slug}\"\nflag = \"move\"\nbackends = { legacy = \"legacy\", new = \"new\" }\n\
    [[routes]]\npath = \"/dead\"\nbackend = \"dead\"\n";

async fn world() -> World {
    World::new()
        .backend("legacy", hello("old"))
        .backend("new", hello("new"))
        .servers("dead", &["http://127.0.0.1:1".to_owned()])
        .flag("move", FLAG)
        .routes(ROUTES)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_leaves_one_line_that_says_all_about_it() {
    let world = world().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut client = world.client(Http::Two).await;
    let fields = [
        ("accept", "text/html"),
        ("user-agent", "a \"quoted\" agent"),
        ("referer", "https://example.com/"),
        ("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")),
    ];
    let answer = client.get_with("/courses/rust?page=2", &fields).await;
    assert_eq!(answer.text(), "new");
    for _ in 0..20 {
        client.get("/plain").await;
    }
    until("21 lines", async || world.log().len() >= 21).await;
    let lines = world.log();
    assert_eq!(lines.len(), 21);
    let line = lines.iter().find(|line| line["path"] == "/courses/rust").unwrap();
    let wanted = json!({
        "trace_id": trace, "listener": "https", "protocol": "HTTP/2", "tls": "1.3", "sni": "localhost", "client": "127.0.0.1",
        "method": "GET", "host": world.authority(), "path": "/courses/rust", "query": "page=2",
        "route": "/courses/{slug}", "squad": "world", "flag": "move", "variant": "new", "flag_reason": "SPLIT",
        "visitor": "absent", "gate": "open", "backend": "new", "server": world.backend("new").url().replace("http://", ""), "attempts": 1,
        "status": 200, "outcome": "forwarded", "reason": null, "bytes_in": 0, "bytes_out": 3,
        "user_agent": "a \"quoted\" agent", "referer": "https://example.com/",
    });
    for (name, value) in wanted.as_object().unwrap() {
        let same = line[name] == *value
            || name == "server" && line[name].as_str().unwrap().contains(value.as_str().unwrap());
        assert!(same, "{name}: {} is not {value} in {line}", line[name]);
    }
    for name in ["decide_us", "first_byte_us", "total_us"] {
        assert!(line[name].as_u64().is_some(), "{name} in {line}");
    }
    assert_eq!(line["request_id"], answer.header("x-request-id"));
    assert_ne!(line["span_id"], "00f067aa0ba902b7", "a span of our own");
    assert!(
        line.as_object()
            .unwrap()
            .values()
            .all(|value| !value.is_object() && !value.is_array()),
        "flat: {line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_told_in_full_words() {
    let world = world().await;
    let mut client = world.client(Http::One).await;
    let answer = client.get("/dead").await;
    assert_eq!(answer.status, 502);
    assert!(
        answer.header("proxy-status").contains("error=connection_refused"),
        "{answer:?}"
    );
    assert!(
        answer.header("proxy-status").contains("next-hop=\"dead\""),
        "{answer:?}"
    );
    let line = world.logged(|line| line["path"] == "/dead").await;
    assert_eq!(
        (&line["outcome"], &line["reason"], &line["side"], &line["backend"]),
        (
            &json!("refused"),
            &json!("connection_refused"),
            &json!("backend"),
            &json!("dead")
        )
    );
    let metric = "banyan_refusals_total{reason=\"connection_refused\",side=\"backend\"}";
    assert_eq!(world.metric(metric).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn combined_is_what_every_log_tool_reads() {
    let world = World::new()
        .backend("legacy", hello("old"))
        .operator("format = \"combined\"\n")
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    client
        .get_with(
            "/a?b=c",
            &[("user-agent", "test/1"), ("referer", "https://x/\"y")],
        )
        .await;
    let file = world.folder().join("log/access.log");
    until("a line", async || {
        fs::read_to_string(&file).unwrap_or_default().contains('\n')
    })
    .await;
    let text = fs::read_to_string(&file).unwrap();
    let line = text.lines().next().unwrap();
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(
        line.contains("] \"GET /a?b=c HTTP/1.1\" 200 3 \"https://x/"),
        "{line}"
    );
    assert!(line.ends_with("\"test/1\""), "{line}");
    assert_eq!(
        line.matches('"').count() % 2,
        line.matches("\\\"").count() % 2,
        "quotes inside are escaped: {line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_cannot_be_written_are_counted_and_delay_nobody() {
    let builder = World::new().backend("legacy", hello("old"));
    fs::create_dir_all(builder.folder().join("log")).unwrap();
    symlink("/dev/full", builder.folder().join("log/access.log")).unwrap();
    let world = builder.start().await;
    let mut client = world.client(Http::Two).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.status, 200);
    }
    until("ten lost lines", async || {
        world
            .metric("banyan_access_log_lines_dropped_total{cause=\"write_error\"}")
            .await
            >= 10.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_have_labels_from_configuration_only() {
    let world = world().await;
    let mut client = world.client(Http::Two).await;
    for at in 0..5 {
        client
            .get_with(
                &format!("/courses/secret-{at}?token=hidden"),
                &[("accept", "text/html")],
            )
            .await;
    }
    client.get("/nowhere/secret-path").await;
    let page = world.admin("/metrics").await;
    assert_eq!(
        page.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = page.text();
    let series: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("http_server_request_duration_seconds_count{"))
        .collect();
    let moved = series
        .iter()
        .find(|line| line.contains("http_route=\"/courses/{slug}\""))
        .unwrap_or_else(|| panic!("{series:#?}"));
    assert!(moved.ends_with(" 5"), "{moved}");
    assert!(
        !text.contains("secret") && !text.contains("hidden"),
        "a path is in the metrics"
    );
    for family in [
        "http_server_request_duration_seconds_bucket",
        "banyan_flag_decisions_total{flag=\"move\",variant=\"new\"",
        "banyan_config_version",
        "banyan_config_reloads_total",
        "banyan_config_last_reload_successful 1",
        "banyan_cert_not_after_timestamp_seconds{",
        "banyan_server_healthy{backend=\"dead\"",
        "banyan_connections_total{listener=\"https\"",
        "banyan_sockets{state=",
        "banyan_build_info{",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        assert!(
            text.contains(&format!("\n{family}")),
            "{family} is missing in\n{text}"
        );
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap();
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':'),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_are_counted_by_their_result() {
    let world = world().await;
    let version = world.metric("banyan_config_version").await;
    world.write("flags/move.toml", &FLAG.replace("100.0", "50.0"));
    world.reload().await;
    assert_eq!(world.metric("banyan_config_version").await, version + 1.0);
    world.write("flags/move.toml", "nonsense");
    world.reload().await;
    assert_eq!(world.metric("banyan_config_last_reload_successful").await, 0.0);
    assert!(
        world
            .metric("banyan_config_reloads_total{result=\"partial\"}")
            .await
            >= 1.0
    );
    let status: Value = serde_json::from_str(world.admin("/api/status").await.text()).unwrap();
    assert_eq!(status["change"]["stale"], json!(["flags/move.toml"]));
    assert!(status["change"]["problems"][0]["what"].is_string(), "{status:#}");
    world.write("flags/move.toml", FLAG);
    world.reload().await;
    assert_eq!(world.metric("banyan_config_last_reload_successful").await, 1.0);
    let ends = world.metric("banyan_cert_not_after_timestamp_seconds").await;
    assert!(ends > clock::wall().secs() as f64, "{ends}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_file_is_in_force_soon() {
    let servers = ["old", "new"].map(|name| {
        Server::new(Speaks::Http1, move |_| {
            std::future::ready(Response::new(full(name)))
        })
    });
    let mut routes = String::new();
    for at in 0..100 {
        let _ = writeln!(
            routes,
            "[[routes]]\npath = \"/r{at}/{{id}}/*\"\nbackend = \"old\"\n"
        );
    }
    let [old, new] = servers;
    let world = World::new()
        .server("old", old)
        .server("new", new)
        .routes(&routes)
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    assert_eq!(client.get("/r7/x").await.text(), "old");
    let mut slowest = Duration::ZERO;
    for (at, wanted) in ["new", "old", "new", "old", "new"].into_iter().enumerate() {
        let text = world.read("routes/world.toml");
        let (before, after) = text.split_once("path = \"/r7/{id}/*\"\nbackend = ").unwrap();
        let after = after.split_once('\n').unwrap().1;
        world.write(
            "routes/world.toml",
            &format!("{before}path = \"/r7/{{id}}/*\"\nbackend = \"{wanted}\"\n{after}"),
        );
        let saved = clock::steady();
        until("the new file in force", async || {
            client.get("/r7/x").await.text() == wanted
        })
        .await;
        let took = clock::steady().saturating_duration_since(saved);
        println!("reload {at}: in force after {took:?}");
        slowest = slowest.max(took);
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

/// A flag that fails, beside one that picks the backend: both are counted and told, by OpenTelemetry's names too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_flag_of_a_route_is_counted_by_its_reason_and_its_error() {
    let world = World::new()
        .backend("legacy", hello("old"))
        .backend("new", hello("new"))
        .flag("move", "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[[rules]]\nif = true\nserve = \"new\"\n")
        .flag(
            "search",
            "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n\
             [[rules]]\nif = { \"*\" = [{ var = \"request.host\" }, 2] }\nserve = \"new\"\n",
        )
        .flag("off", "state = \"disabled\"\nvariants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n")
        .flag("still", "variants = [\"legacy\"]\ndefault = \"legacy\"\n")
        .routes(
            "[[routes]]\npath = \"/*\"\nflag = \"move\"\nflags = [\"search\", \"off\", \"still\"]\n\
             backends = { legacy = \"legacy\", new = \"new\" }\n\
             [[routes]]\npath = \"/search\"\nflag = \"search\"\nbackends = { legacy = \"legacy\", new = \"new\" }\n",
        )
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.text(), "new");
    }
    assert_eq!(
        client.get("/search").await.text(),
        "old",
        "who fails gives the default"
    );
    until("four lines", async || world.log().len() >= 4).await;
    for (flag, variant, reason, count) in [
        ("move", "new", "TARGETING_MATCH", 3.0),
        ("search", "legacy", "ERROR", 4.0),
        ("off", "legacy", "DISABLED", 3.0),
        ("still", "legacy", "STATIC", 3.0),
    ] {
        let series = format!(
            "banyan_flag_decisions_total{{flag=\"{flag}\",variant=\"{variant}\",reason=\"{reason}\"}}"
        );
        assert_eq!(world.metric(&series).await, count, "{series}");
    }
    let failed = "banyan_flag_errors_total{flag=\"search\",error=\"PARSE_ERROR\"}";
    assert_eq!(world.metric(failed).await, 4.0);
    assert_eq!(world.metric("banyan_flag_errors_total").await, 4.0);
    let line = world.logged(|line| line["path"] == "/search").await;
    for (name, value) in [
        ("feature_flag.key", "search"),
        ("feature_flag.provider.name", "banyan"),
        ("feature_flag.result.variant", "legacy"),
        ("feature_flag.result.reason", "error"),
        ("error.type", "parse_error"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    let errors = async || {
        let answer = world.admin("/api/flags/search").await;
        serde_json::from_str::<Value>(answer.text()).unwrap()["errors"].clone()
    };
    assert_eq!(errors().await, 4);
    world.write(
        "flags/still.toml",
        "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n",
    );
    world.reload().await;
    assert_eq!(errors().await, 4, "a reload forgets nothing");
}
