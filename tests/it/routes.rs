//! Routes over real sockets: which one takes a request, and what is said when none does.

use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;

use crate::{
    backend::{Body, empty, full, mirror},
    client::{Http, field, status},
    world::World,
};

fn named(
    name: &'static str,
) -> impl Fn(Request<Incoming>) -> std::future::Ready<Response<Body>> + Send + Sync + 'static {
    move |_| std::future::ready(Response::new(full(name)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_most_specific_route_takes_a_request() {
    let world = World::new()
        .backend("all", named("all"))
        .backend("one", named("one"))
        .backend("new", named("new"))
        .backend("deep", named("deep"))
        .backend("post", named("post"))
        .backend("css", named("css"))
        .routes(
            "[[routes]]\npath = \"/*\"\nbackend = \"all\"\n\
             [[routes]]\npath = \"/courses/{slug}\"\nbackend = \"one\"\n\
             [[routes]]\npath = \"/courses/{slug}\"\nmethods = [\"POST\"]\nbackend = \"post\"\n\
             [[routes]]\npath = \"/courses/new\"\nbackend = \"new\"\n\
             [[routes]]\npath = \"/courses/{slug}/*\"\nbackend = \"deep\"\n\
             [[routes]]\npattern = \"*.css\"\norder = 1\nbackend = \"css\"\n",
        )
        .start()
        .await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        for (path, wanted) in [
            ("/", "all"),
            ("/courses", "all"),
            ("/courses/rust", "one"),
            ("/courses/new", "new"),
            ("/courses/new/x", "deep"),
            ("/courses/rust/", "deep"),
            ("/courses/rust/a/b?c=d", "deep"),
            ("/courses/a.css", "css"),
            ("/x/../courses/./new", "new"),
            ("//courses//new", "new"),
        ] {
            assert_eq!(client.get(path).await.text(), wanted, "{path}");
        }
        assert_eq!(client.post("/courses/rust", "x").await.text(), "post");
        assert_eq!(client.post("/courses/new", "x").await.text(), "new");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_judged_is_what_is_forwarded() {
    let world = World::new().backend("app", mirror).start().await;
    let mut raw = world.raw_private().await;
    for (sent, forwarded) in [
        ("/a/../b/%7Ec//d?x=/../y", "/b/~c/d?x=/../y"),
        ("/a%c3%a9", "/a%C3%A9"),
        ("/same?", "/same?"),
        ("/same", "/same"),
        ("/?a=%2F", "/?a=%2F"),
    ] {
        raw.send(format!("GET {sent} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await;
        let (head, body) = raw.answer().await;
        assert_eq!(status(&head), 200, "{head}");
        let seen: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(seen["target"], forwarded);
    }
    let before = world.backend("app").requests();
    for sent in [
        "/a%2fb",
        "/a%5cb",
        "/%00",
        "/%zz",
        "/%2e%2e/x",
        "/../x",
        "/a;/..;/b",
    ] {
        let mut raw = world.raw_private().await;
        raw.send(format!("GET {sent} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await;
        let (head, _) = raw.answer().await;
        assert_eq!(status(&head), 400, "{sent}: {head}");
        assert!(field(&head, "proxy-status").is_some(), "{head}");
    }
    assert_eq!(world.backend("app").requests(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_of_somebody_else_is_misdirected() {
    let world = World::new()
        .backend("app", named("app"))
        .hosts("[\"localhost\", \"*.shop.example.com\"]")
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    for (host, wanted) in [
        ("localhost", 200),
        ("LOCALHOST:8443", 200),
        ("localhost.", 200),
        ("de.shop.example.com", 200),
        ("shop.example.com", 421),
        ("a.b.shop.example.com", 421),
        ("evil.example", 421),
        ("127.0.0.1", 421),
    ] {
        let mut request = client.request(&Method::GET, "/", empty());
        request
            .headers_mut()
            .insert("host", HeaderValue::from_static(host));
        let answer = client.ask(request).await;
        assert_eq!(answer.status, wanted, "{host}");
    }
    let mut two = world.client(Http::Two).await;
    let mut request = two.request(&Method::GET, "/", empty());
    *request.uri_mut() = "https://evil.example/".parse().unwrap();
    assert_eq!(two.ask(request).await.status, StatusCode::MISDIRECTED_REQUEST);
    let mut private = world.private(Http::One).await;
    let mut request = private.request(&Method::GET, "/", empty());
    request
        .headers_mut()
        .insert("host", HeaderValue::from_static("10.0.0.5"));
    assert_eq!(
        private.ask(request).await.status,
        200,
        "inside the network any name will do"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_route_the_answer_is_404_in_the_form_that_is_asked_for() {
    let world = World::new()
        .backend("app", named("app"))
        .routes("[[routes]]\npath = \"/only/*\"\nbackend = \"app\"\n")
        .start()
        .await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let answer = client.get("/nowhere").await;
        assert_eq!(answer.status, 404);
        assert_eq!(
            answer.header("proxy-status"),
            "banyan; error=destination_not_found; details=\"no-route\""
        );
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem: Value = serde_json::from_str(answer.text()).unwrap();
        assert_eq!(
            (&problem["status"], &problem["reason"]),
            (&404.into(), &"destination_not_found".into())
        );
        assert_eq!(problem["request_id"], answer.header("x-request-id"));
        let page = client
            .get_with("/nowhere", &[("accept", "text/html,*/*;q=0.8")])
            .await;
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(page.text().contains("404") && page.text().contains(page.header("x-request-id")));
        let request = client.request(&Method::HEAD, "/nowhere", empty());
        let head = client.ask(request).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (404, 0));
        assert_eq!(client.get("/only").await.text(), "app");
    }
    let line = world.logged(|line| line["path"] == "/nowhere").await;
    assert_eq!(
        (&line["outcome"], &line["reason"]),
        (&"refused".into(), &"destination_not_found".into())
    );
    assert!(line["route"].is_null() && line["backend"].is_null());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_squad_cannot_break_anothers_routes() {
    let world = World::new()
        .backend("app", named("app"))
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"app\"\n")
        .squad("other", "[[routes]]\npath = \"/other\"\nbackend = \"app\"\n")
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    world.write(
        "routes/other.toml",
        "squad = \"other\"\n[[routes]]\npath = \"/other\"\nbackend = \"nobody\"\n",
    );
    let broken = world.reload().await;
    assert_eq!(broken.stale, ["routes/other.toml"]);
    assert_eq!(
        client.get("/other").await.status,
        200,
        "its last good version serves"
    );
    assert_eq!(
        world.metric("banyan_squad_file_stale{squad=\"other\"}").await,
        1.0
    );
    assert_eq!(
        world.metric("banyan_squad_file_stale{squad=\"world\"}").await,
        0.0
    );
    let text = world.read("routes/world.toml")
        + "[[routes]]\npath = \"/more\"\nmethods = [\"POST\"]\nbackend = \"app\"\n";
    world.write("routes/world.toml", &text);
    let applied = world.reload().await;
    assert!(
        applied.diff.to_string().contains("routes + world /more"),
        "another squad's change is in force: {}",
        applied.diff
    );
    world.write("routes/other.toml", "squad = \"other\"\n");
    let mended = world.reload().await;
    assert!(mended.stale.is_empty(), "{mended:?}");
    assert_eq!(
        world.metric("banyan_squad_file_stale{squad=\"world\"}").await,
        0.0
    );
}
