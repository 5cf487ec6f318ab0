//! Trailers of requests are fields too: what no client may say in a head, it may not say after the body, whatever each side speaks.

use std::fs;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::{
    backend::{Body, Server, Speaks, full, with_trailers},
    client::{Http, status},
    issuer::{GOOD, gate},
    world::World,
};

/// What is sent after the body: the first two are nobody's business here.
const SENT: [&str; 24] = [
    "X-Checksum",
    "X-Remote-Users",
    "Banyan-User",
    "banyan_user",
    "BANYAN.ROLES",
    "Banyan_Identity",
    "Banyan-Anything",
    "X-Remote-User",
    "x_remote_user",
    "X.Remote.User",
    "X-Amzn-Oidc-Data",
    "X_Amzn_Oidc_Identity",
    "X-Original-URL",
    "x_rewrite_url",
    "X-HTTP-Method-Override",
    "X-Middleware-Subrequest",
    "X-Forwarded-For",
    "X_Forwarded_Proto",
    "Forwarded",
    "X-Real-Ip",
    "Authorization",
    "Cookie",
    "Proxy",
    "X-Request-Id",
];
/// What HTTP/1 never takes there, so that nothing after it is read.
const REFUSED: [&str; 2] = ["Authorization", "Cookie"];
const KEPT: &str = "x-checksum x-remote-users";

/// Answers with the names of the trailers that came.
async fn tell(request: Request<Incoming>) -> Response<Body> {
    let collected = request.into_body().collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let mut names: Vec<String> = trailers.keys().map(ToString::to_string).collect();
    names.sort();
    Response::new(full(names.join(" ")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_say_nothing_that_heads_may_not() {
    let operator = gate("keys.json") + "\nstrip = [\"X-Remote-User\", \"X-Amzn-Oidc-*\"]\n";
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let builder = World::new()
            .server("app", Server::new(speaks, tell))
            .routes("[[routes]]\npath = \"/*\"\nbackend = \"app\"\n")
            .operator(&operator);
        fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
        let world = builder.start().await;

        let mut client = world.client(Http::Two).await;
        let mut trailers = HeaderMap::new();
        for name in SENT {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            trailers.insert(name, HeaderValue::from_static("root"));
        }
        let mut request = client.request(&Method::POST, "/x", with_trailers("a", trailers));
        request
            .headers_mut()
            .insert("trailer", HeaderValue::from_static("x-checksum"));
        let answer = client.ask(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (200, KEPT),
            "h2 to {speaks:?}"
        );

        let taken: Vec<&str> = SENT.into_iter().filter(|name| !REFUSED.contains(name)).collect();
        let (head, body) = chunked(&world, &taken).await;
        assert_eq!((status(&head), &*body), (200, KEPT), "h1 to {speaks:?}");
        for name in REFUSED {
            let (head, _) = chunked(&world, &[name]).await;
            assert_eq!(status(&head), 400, "{name}: {head}");
        }
    }
}

/// The answer to a request over HTTP/1.1 with these trailers.
async fn chunked(world: &World, names: &[&str]) -> (String, String) {
    let mut raw = world.raw(Http::One).await;
    let trailers: String = names.iter().map(|name| format!("{name}: root\r\n")).collect();
    let names = names.join(", ");
    raw.send(format!(
        "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: {names}\r\n\r\n1\r\na\r\n0\r\n{trailers}\r\n"
    ))
    .await;
    raw.answer().await
}
