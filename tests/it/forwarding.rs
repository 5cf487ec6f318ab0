//! What backends are told about a request and what is taken away; the private and the http listener.

use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;

use crate::{
    backend::{Body, Server, Speaks, empty, full, mirror},
    client::{Http, status},
    world::World,
};

/// A mirror, behind a router that trusts nobody.
async fn suspicious() -> World {
    World::new().backend("legacy", mirror).start().await
}

/// A mirror, behind a router that trusts this machine.
async fn trusting() -> World {
    World::new()
        .top("trusted_proxies = [\"127.0.0.1\"]")
        .backend("legacy", mirror)
        .start()
        .await
}

const FORGED: [(&str, &str); 5] = [
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-proto", "gopher"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-port", "1"),
    ("forwarded", "for=203.0.113.7;host=evil.example;proto=gopher"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_untrusted_client_says_about_its_way_is_replaced() {
    let world = suspicious().await;
    for http in Http::BOTH {
        let seen = world.client(http).await.get_with("/", &FORGED).await.seen();
        assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
        assert_eq!(seen.header("x-forwarded-proto"), "https");
        assert_eq!(seen.header("x-forwarded-host"), world.authority());
        assert_eq!(seen.header("x-forwarded-port"), world.https().port().to_string());
        let forwarded = format!("for=127.0.0.1;host=\"{}\";proto=https", world.authority());
        assert_eq!(seen.header("forwarded"), forwarded);
    }
    let line = world.logged(|line| line["path"] == "/").await;
    assert_eq!(line["client"], "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trusted_proxy_says_is_kept_and_extended() {
    let world = trusting().await;
    let fields = [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "www.example.com"),
        ("forwarded", "for=203.0.113.7"),
    ];
    let seen = world.client(Http::Two).await.get_with("/", &fields).await.seen();
    assert_eq!(seen.header("x-forwarded-for"), "203.0.113.7, 127.0.0.1");
    assert_eq!(seen.header("x-forwarded-proto"), "http");
    assert_eq!(seen.header("x-forwarded-host"), "www.example.com");
    let forwarded = format!(
        "for=203.0.113.7, for=127.0.0.1;host=\"{}\";proto=https",
        world.authority()
    );
    assert_eq!(seen.header("forwarded"), forwarded);
    let line = world.logged(|line| line["path"] == "/").await;
    assert_eq!(line["client"], "203.0.113.7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn via_names_each_hop_and_a_loop_ends_in_508() {
    let world = suspicious().await;
    let seen = world.client(Http::Two).await.get("/").await.seen();
    assert_eq!(seen.header("via"), "2.0 banyan");
    let mut client = world.client(Http::One).await;
    let seen = client
        .get_with("/", &[("via", "1.0 other, 1.1 banyan")])
        .await
        .seen();
    assert_eq!(seen.header("via"), "1.0 other, 1.1 banyan, 1.1 banyan");
    let hops = ["1.1 banyan"; 8].join(", ");
    let before = world.backend("legacy").requests();
    let answer = client.get_with("/", &[("via", &hops)]).await;
    assert_eq!(answer.status, 508);
    assert!(answer.header("proxy-status").contains("proxy_loop_detected"));
    assert_eq!(world.backend("legacy").requests(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_leads_back_to_the_router_ends_in_508() {
    // the private listener's port must be known before the start: another router's folder lends one
    let lender = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = lender.local_addr().unwrap();
    drop(lender);
    let world = World::new()
        .listen(&format!(
            "https = [\"127.0.0.1:0\"]\nprivate = [\"{address}\"]\nadmin = \"127.0.0.1:0\"\n"
        ))
        .servers("legacy", &[format!("http://{address}")])
        .start()
        .await;
    let answer = world.client(Http::One).await.get("/round").await;
    assert_eq!(answer.status, 508);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_has_a_number_that_backend_client_and_log_share() {
    let world = suspicious().await;
    let mut client = world.client(Http::Two).await;
    let answer = client.get_with("/", &[("x-request-id", "forged")]).await;
    let id = answer.header("x-request-id").to_owned();
    assert!(id.len() >= 16 && id != "forged", "{id}");
    assert_eq!(answer.seen().header("x-request-id"), id);
    world.logged(|line| line["request_id"] == id.as_str()).await;
    let other = client.get("/").await;
    assert_ne!(other.header("x-request-id"), id);
    let world = trusting().await;
    let answer = world
        .client(Http::One)
        .await
        .get_with("/", &[("x-request-id", "from-the-cdn-1")])
        .await;
    assert_eq!(answer.header("x-request-id"), "from-the-cdn-1");
    assert_eq!(answer.seen().header("x-request-id"), "from-the-cdn-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_is_continued_or_begun() {
    let world = suspicious().await;
    let mut client = world.client(Http::One).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let seen = client
        .get_with("/", &[("traceparent", &parent), ("tracestate", "a=1")])
        .await
        .seen();
    let told = seen.header("traceparent");
    assert!(
        told.starts_with(&format!("00-{trace}-")) && told.ends_with("-01"),
        "{told}"
    );
    assert_ne!(told, parent, "the span is Banyan's own");
    assert!(seen.header("tracestate").contains("a=1"));
    let line = world.logged(|line| line["trace_id"] == trace).await;
    assert!(told.contains(line["span_id"].as_str().unwrap()));

    for broken in [
        "",
        "00-0000-1-1",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    ] {
        let seen = client
            .get_with("/", &[("traceparent", broken), ("tracestate", "a=1")])
            .await
            .seen();
        let told = seen.header("traceparent");
        assert_eq!(told.len(), 55, "{told}");
        assert!(!told.contains("00000000000000000000000000000000"));
        assert!(!seen.has("tracestate"), "a state without its trace means nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hop_by_hop_fields_and_those_that_connection_names_end_here() {
    let world = suspicious().await;
    let mut raw = world.raw(Http::One).await;
    raw.send(
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, X-Secret, Cookie\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: gzip\r\nX-Secret: 1\r\nX-Open: 2\r\n\
         Cookie: a=b\r\nUpgrade: h2c\r\n\r\n",
    )
    .await;
    let (head, body) = raw.answer().await;
    assert_eq!(status(&head), 200, "{head}");
    let seen = crate::client::Seen(serde_json::from_str(&body).unwrap());
    for gone in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "x-secret",
        "upgrade",
    ] {
        assert!(!seen.has(gone), "{gone} passed: {body}");
    }
    assert_eq!(seen.header("x-open"), "2");
    assert_eq!(
        seen.header("cookie"),
        "a=b",
        "a connection option can't take end-to-end fields away"
    );
}

/// Answers with fields that are only meant for the next hop.
async fn hoppy(_: Request<Incoming>) -> Response<Body> {
    let mut response = Response::new(full("x"));
    let fields = response.headers_mut();
    for (name, value) in [
        ("connection", "x-internal"),
        ("x-internal", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("x-open", "2"),
        ("server", "legacy/1"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hop_by_hop_fields_of_answers_end_here() {
    let world = World::new().backend("legacy", hoppy).start().await;
    for http in Http::BOTH {
        let answer = world.client(http).await.get("/").await;
        for gone in ["connection", "x-internal", "keep-alive", "proxy-authenticate"] {
            assert!(!answer.headers.contains_key(gone), "{http:?}: {gone} passed");
        }
        assert_eq!(answer.header("x-open"), "2");
        assert_eq!(answer.header("server"), "legacy/1");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_banyan_and_proxy_fields_never_pass() {
    let world = suspicious().await;
    let forged = [
        ("banyan-user", "root"),
        ("banyan-roles", "admin"),
        ("banyan-identity", "x"),
        ("banyan-flags", "a=b"),
        ("banyan_user", "root"),
        ("Banyan-Anything", "x"),
        ("banyan.user", "root"),
        ("X_Forwarded_For", "6.6.6.6"),
        ("X-Forwarded_Proto", "ftp"),
        ("X-Forwarded-Prefix", "/admin"),
        ("X-Forwarded-User", "root"),
        ("X-Real-IP", "6.6.6.6"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-Middleware-Subrequest", "middleware"),
        ("Content_Length", "3"),
        ("Transfer_Encoding", "chunked"),
        ("proxy", "http://evil.example"),
    ];
    for http in Http::BOTH {
        let seen = world.client(http).await.get_with("/", &forged).await.seen();
        for (name, _) in forged {
            assert!(!seen.has(&name.to_lowercase()), "{http:?}: {name} passed");
        }
    }
    let seen = world.private(Http::One).await.get_with("/", &forged).await.seen();
    assert!(!seen.has("banyan-user") && !seen.has("banyan_user"));
}

const RAMP: &str = "squad = \"world\"\nstate = \"enabled\"\nvariants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[rollout]\nnew = 50.0\n";

/// A route whose flag needs a visitor.
async fn moving() -> World {
    World::new()
        .backend("legacy", mirror)
        .backend("new", mirror)
        .routes("[[routes]]\npath = \"/*\"\nflag = \"moving\"\nbackends = { legacy = \"legacy\", new = \"new\" }\n")
        .flag("moving", RAMP)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_visitor_cookie_is_set_once_and_never_shown_to_backends() {
    let world = moving().await;
    let mut client = world.client(Http::Two).await;
    let navigation = ("sec-fetch-mode", "navigate");
    let answer = client.get_with("/", &[navigation]).await;
    let cookie = answer.header("set-cookie").to_owned();
    let pair = cookie.split(';').next().unwrap().to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("Secure"),
        "{cookie}"
    );
    let cookies = format!("a=b; {pair}; c=d");
    let again = client.get_with("/", &[("cookie", &cookies), navigation]).await;
    assert!(!again.headers.contains_key("set-cookie"));
    assert_eq!(again.seen().header("cookie"), "a=b; c=d");
    assert_eq!(
        again.seen().header("banyan-flags"),
        answer.seen().header("banyan-flags")
    );
    let alone = client.get_with("/", &[("cookie", &pair)]).await;
    assert!(!alone.seen().has("cookie"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_private_listener_serves_the_same_routes_and_sets_no_cookie() {
    let world = moving().await;
    for http in Http::BOTH {
        let mut client = world.private(http).await;
        let answer = client.get_with("/x", &[("sec-fetch-mode", "navigate")]).await;
        let seen = answer.seen();
        assert_eq!(seen.get("target"), "/x");
        assert_eq!(seen.header("x-forwarded-proto"), "http");
        assert!(!answer.headers.contains_key("set-cookie"), "{http:?}");
        let line = world.logged(|line| line["listener"] == "private").await;
        assert_eq!(line["path"], "/x");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_that_the_client_asked_for_is_passed() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let world = World::new()
            .hosts("[\"localhost\", \"*.example.com\"]")
            .server("legacy", Server::new(speaks, mirror))
            .start()
            .await;
        let mut raw = world.raw(Http::One).await;
        raw.send("GET / HTTP/1.1\r\nHost: Shop.example.com:8443\r\n\r\n")
            .await;
        let (_, body) = raw.answer().await;
        let seen = crate::client::Seen(serde_json::from_str(&body).unwrap());
        let host = match speaks {
            Speaks::H2c => seen.get("authority").to_owned(),
            _ => seen.header("host"),
        };
        assert_eq!(host, "Shop.example.com:8443", "{speaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_about_the_server_itself_and_at_the_last_hop_are_answered_here() {
    let world = suspicious().await;
    let mut raw = world.raw(Http::One).await;
    raw.send("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(status(&raw.head().await), 204);
    raw.send("OPTIONS /x HTTP/1.1\r\nHost: localhost\r\nMax-Forwards: 0\r\n\r\n")
        .await;
    assert_eq!(status(&raw.head().await), 204);
    assert_eq!(world.backend("legacy").requests(), 0);
    raw.send("OPTIONS /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let (head, body) = raw.answer().await;
    assert_eq!(status(&head), 200, "without Max-Forwards the backend answers");
    assert!(body.contains("OPTIONS"));
    raw.send("OPTIONS /x HTTP/1.1\r\nHost: localhost\r\nMax-Forwards: 3\r\n\r\n")
        .await;
    let (_, body) = raw.answer().await;
    let seen = crate::client::Seen(serde_json::from_str(&body).unwrap());
    assert_eq!(
        seen.header("max-forwards"),
        "2",
        "RFC 9110 section 7.6.2: each hop takes one"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trace_and_connect_are_not_passed() {
    let world = suspicious().await;
    let mut raw = world.raw(Http::One).await;
    raw.send("CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n")
        .await;
    let answer = raw.rest().await;
    assert!(status(&answer) >= 400, "{answer}");
    assert_eq!(world.backend("legacy").requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_http_listener_sends_everyone_to_https() {
    let world = suspicious().await;
    let mut client = world.plain().await;
    let expected = format!("https://localhost:{}/a/b?c=d", world.https().port());
    for (method, status) in [
        (Method::GET, 301),
        (Method::HEAD, 301),
        (Method::POST, 307),
        (Method::PUT, 307),
        (Method::DELETE, 307),
    ] {
        let request = client.request(&method, "/a/b?c=d", empty());
        let answer = client.ask(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (status, expected.as_str()),
            "{method}"
        );
    }
    let mut raw = crate::client::Raw {
        wire: crate::client::Wire::Tcp(crate::client::tcp(world.addresses.http[0]).await),
    };
    raw.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert_eq!(
        status(&raw.head().await),
        421,
        "nobody is sent to a host that isn't ours"
    );
    assert_eq!(world.backend("legacy").requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_that_http2_splits_arrive_as_one_field() {
    let world = suspicious().await;
    let mut client = world.client(Http::Two).await;
    let seen = client
        .get_with("/", &[("cookie", "a=b"), ("cookie", "c=d")])
        .await
        .seen();
    assert_eq!(seen.header("cookie"), "a=b; c=d");
}
