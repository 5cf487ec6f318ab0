//! What routes say of requests, over real sockets: plain HTTP, methods, the path that is forwarded, redirects.

use std::sync::Arc;

use banyan::{
    config::Sources,
    policy::{Policy, request::Https},
};
use http::{Method, Request, Response};
use hyper::body::Incoming;

use crate::{
    backend::{Body, empty, full, mirror},
    client::{Client, Http, Raw, Wire, field, status, tcp},
    issuer::{GOOD, gate},
    offline::{NOW, Row, compiled_from, settings},
    world::World,
};

async fn plain(world: &World) -> Raw {
    Raw {
        wire: Wire::Tcp(tcp(world.addresses.http[0]).await),
    }
}

async fn ask(client: &mut Client, method: &Method, target: &str) -> (u16, String) {
    let request = client.request(method, target, empty());
    let answer = client.ask(request).await;
    (answer.status.as_u16(), answer.header("location").to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_is_decided_by_route() {
    let world = World::new()
        .backend("app", mirror)
        .routes(
            "[[routes]]\npath = \"/redirect/*\"\nbackend = \"app\"\n\
             [[routes]]\npath = \"/only/*\"\nhttps = \"only\"\nbackend = \"app\"\n\
             [[routes]]\npath = \"/allow/*\"\nhttps = \"allow\"\nbackend = \"app\"\n",
        )
        .start()
        .await;
    let https = format!("https://localhost:{}", world.https().port());
    let mut client = world.plain().await;
    let seen = client.get("/allow/a?b").await.seen();
    assert_eq!((seen.get("method"), seen.get("target")), ("GET", "/allow/a?b"));
    assert_eq!(seen.header("x-forwarded-proto"), "http");
    let posted = client.post("/allow/a", "x").await;
    assert_eq!(posted.seen().get("body"), "x");
    for (method, path, wanted, location) in [
        (Method::GET, "/redirect/a?b=/../c", 301, true),
        (Method::POST, "/redirect/a", 307, true),
        (Method::GET, "/nothing/here", 301, true),
        (Method::DELETE, "/nothing/here", 307, true),
        (Method::GET, "/only/a", 403, false),
        (Method::GET, "/only/..%2f", 400, false),
    ] {
        let location = if location {
            format!("{https}{path}")
        } else {
            String::new()
        };
        assert_eq!(
            ask(&mut client, &method, path).await,
            (wanted, location),
            "{method} {path}"
        );
    }
    for (request, wanted) in [
        ("GET /redirect/a HTTP/1.0\r\nHost: localhost\r\n\r\n", 301),
        (
            "POST /redirect/a HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
            403,
        ),
        (
            "POST /nothing HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
            403,
        ),
        ("GET /allow/a HTTP/1.0\r\nHost: localhost\r\n\r\n", 200),
        ("GET /allow/a HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        ("GET /allow/a HTTP/1.1\r\nHost: .\r\n\r\n", 421),
    ] {
        let mut raw = plain(&world).await;
        raw.send(request).await;
        assert_eq!(status(&raw.head().await), wanted, "{request}");
    }
    assert_eq!(world.backend("app").requests(), 3);
    let line = world.logged(|line| line["path"] == "/only/a").await;
    assert_eq!(
        (&line["listener"], &line["route"], &line["details"]),
        (&"http".into(), &"/only/*".into(), &"plain-http".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_hosts_nobody_is_sent_to_a_host_that_was_not_named() {
    let world = World::new().backend("app", mirror).hosts("[]").start().await;
    for (request, wanted) in [
        ("GET /a HTTP/1.0\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: .\r\n\r\n", 403),
        ("GET /a HTTP/1.0\r\nHost: any.example\r\n\r\n", 301),
    ] {
        let mut raw = plain(&world).await;
        raw.send(request).await;
        assert_eq!(status(&raw.head().await), wanted, "{request}");
    }
    assert_eq!(world.backend("app").requests(), 0);
}

fn cookies(_: Request<Incoming>) -> std::future::Ready<Response<Body>> {
    let mut response = Response::new(full("cookies"));
    for cookie in [
        "a=b",
        "__Host-session=c; Secure; Path=/",
        "__HOST-other=d; Secure; Path=/",
        "__secure-third=e; Secure",
        "__Host=f",
    ] {
        response
            .headers_mut()
            .append("set-cookie", cookie.parse().unwrap());
    }
    std::future::ready(response)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_plain_http_nobody_is_known_and_no_secure_cookie_is_set() {
    let builder = World::new()
        .backend("app", cookies)
        .backend("mirror", mirror)
        .operator(&gate("keys.json"))
        .flag(
            "side",
            "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[rollout]\nnew = 99.999\n",
        )
        .routes(
            "[[routes]]\npath = \"/cookies\"\nhttps = \"allow\"\nbackend = \"app\"\n\
             [[routes]]\npath = \"/flag\"\nhttps = \"allow\"\nflag = \"side\"\n\
             backends = { legacy = \"mirror\", new = \"mirror\" }\n\
             [[routes]]\npath = \"/account\"\nauth = \"required\"\nbackend = \"mirror\"\n",
        );
    std::fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
    let world = builder.start().await;
    let set = |head: &str| -> Vec<String> {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let cookies = lines.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        cookies.map(|(_, value)| value.to_owned()).collect()
    };
    let mut raw = plain(&world).await;
    raw.send("GET /cookies HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(set(&raw.answer().await.0), ["a=b", "__Host=f"]);
    let mut secure = world.raw(Http::One).await;
    secure
        .send("GET /cookies HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(set(&secure.answer().await.0).len(), 5);

    let navigation = "GET /flag HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n";
    secure.send(format!("{navigation}\r\n")).await;
    let (head, body) = secure.answer().await;
    let cookie = set(&head).concat();
    let pair = cookie.split(';').next().unwrap();
    assert!(pair.starts_with("__Host-banyan="), "{head}");
    assert!(body.contains("side=new"), "{body}");
    for cookie in [String::new(), format!("Cookie: {pair}\r\n")] {
        raw.send(format!("{navigation}{cookie}\r\n")).await;
        let (head, body) = raw.answer().await;
        assert_eq!(set(&head), [""; 0], "{head}");
        assert!(
            body.contains("side=legacy"),
            "a cookie that went over plain HTTP counts for nothing: {body}"
        );
    }

    let token = GOOD.token("EdDSA", "alice", &[]);
    raw.send(format!(
        "GET /account HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    ))
    .await;
    assert_eq!(status(&raw.head().await), 301);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_that_are_not_served_are_told_which_are() {
    let world = World::new()
        .backend("app", mirror)
        .routes(
            "[[routes]]\npath = \"/read\"\nallowed_methods = [\"GET\", \"OPTIONS\"]\nbackend = \"app\"\n\
             [[routes]]\npath = \"/cf\"\nallowed_methods = [\"GET\", \"HEAD\"]\nrefused_method_status = 403\nbackend = \"app\"\n\
             [[routes]]\npath = \"/form\"\nmethods = [\"GET\"]\nbackend = \"app\"\n\
             [[routes]]\npath = \"/form\"\nmethods = [\"POST\"]\nbackend = \"app\"\n",
        )
        .start()
        .await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        for (method, path, wanted, allow) in [
            (Method::GET, "/read", 200, ""),
            (Method::HEAD, "/read", 200, ""),
            (Method::POST, "/read", 405, "GET, HEAD, OPTIONS"),
            (Method::POST, "/cf", 403, ""),
            (Method::OPTIONS, "/cf", 403, ""),
            (Method::POST, "/form", 200, ""),
            (Method::PUT, "/form", 405, "GET, HEAD, POST"),
            (Method::PUT, "/nothing", 404, ""),
        ] {
            let request = client.request(&method, path, empty());
            let answer = client.ask(request).await;
            assert_eq!(
                (answer.status.as_u16(), answer.header("allow")),
                (wanted, allow),
                "{method} {path}"
            );
            if matches!(wanted, 403 | 405) {
                let said = answer.header("proxy-status");
                assert_eq!(said, "banyan; error=http_request_denied; details=\"method\"");
                assert!(answer.text().contains("not served"), "{}", answer.text());
            }
        }
    }
    let told = world.logged(|line| line["path"] == "/cf").await;
    assert_eq!(told["route"], "/cf");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_is_forwarded_as_the_route_says() {
    let world = World::new()
        .backend("app", mirror)
        .backend_h2c("h2c", mirror)
        .routes(
            "[[routes]]\npath = \"/courses/*\"\nstrip_prefix = \"/courses\"\nbackend = \"app\"\n\
             [[routes]]\npath = \"/api/*\"\nstrip_prefix = \"/api\"\nadd_prefix = \"/v2/api\"\nbackend = \"h2c\"\n\
             [[routes]]\npath = \"/\"\nrewrite = \"/index.html\"\nbackend = \"app\"\n\
             [[routes]]\npath = \"/*\"\nstrip_prefix = \"/some\"\nallow_encoded_slash = true\nbackend = \"app\"\n",
        )
        .start()
        .await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        for (asked, forwarded) in [
            ("/courses/rust?a=/courses/b", "/rust?a=/courses/b"),
            ("/courses", "/"),
            ("/courses/", "/"),
            ("/courses//..//courses/%72ust/.", "/rust/"),
            ("/api/users?x", "/v2/api/users?x"),
            ("/api", "/v2/api/"),
            ("/?page=2", "/index.html?page=2"),
            ("/a/..", "/index.html"),
            ("/some/x", "/x"),
            ("/somewhere", "/somewhere"),
            ("/some%2Fx", "/some%2Fx"),
            ("/some/%2Fx", "/%2Fx"),
            ("/other", "/other"),
        ] {
            let seen = client.get(asked).await.seen();
            assert_eq!(seen.get("target"), forwarded, "{asked}");
        }
    }
    let line = world.logged(|line| line["path"] == "/courses/rust").await;
    assert_eq!(
        line["route"], "/courses/*",
        "the log has the path that was asked for"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_carries_names_rest_and_query_and_keeps_its_host() {
    let world = World::new()
        .backend("app", mirror)
        .routes(
            "[[routes]]\npath = \"/app\"\nbackend = \"app\"\n\
             [[routes]]\npath = \"/old/*\"\nredirect = { to = \"/{rest}\", status = 301 }\n\
             [[routes]]\npath = \"/blog/{slug}\"\nredirect = { to = \"https://blog.example.com/{slug}?from=www\", status = 308 }\n\
             [[routes]]\npath = \"/soon\"\nhttps = \"allow\"\nredirect = { to = \"/now\" }\n",
        )
        .start()
        .await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        for (method, asked, wanted, location) in [
            (Method::GET, "/old/a/b?c=d", 301, "/a/b?c=d"),
            (Method::POST, "/old", 301, "/"),
            (Method::GET, "/old//evil.example/a", 301, "/evil.example/a"),
            (Method::GET, "/old/%0d%0aset-cookie:a=b", 400, ""),
            (Method::GET, "/old/%5Cevil.example", 400, ""),
            (
                Method::PUT,
                "/blog/rust?a",
                308,
                "https://blog.example.com/rust?from=www&a",
            ),
            (
                Method::GET,
                "/blog/@evil.example",
                308,
                "https://blog.example.com/@evil.example?from=www",
            ),
            (Method::GET, "/soon", 302, "/now"),
        ] {
            let told = ask(&mut client, &method, asked).await;
            assert_eq!(told, (wanted, location.to_owned()), "{method} {asked}");
        }
    }
    let mut over_plain = world.plain().await;
    assert_eq!(
        ask(&mut over_plain, &Method::GET, "/soon").await,
        (302, "/now".to_owned())
    );
    assert_eq!(world.backend("app").requests(), 0);
    let mut raw = world.raw(Http::One).await;
    raw.send("GET /old/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let (head, body) = raw.answer().await;
    assert!(
        field(&head, "x-request-id").is_some() && body.is_empty(),
        "{head}{body}"
    );
    let line = world.logged(|line| line["path"] == "/old/x").await;
    assert_eq!(
        (&line["route"], &line["outcome"]),
        (&"/old/*".into(), &"answered".into())
    );
    assert_eq!(line["status"], 301);
}

#[test]
fn a_route_that_asks_who_someone_is_stays_closed_over_plain_http_whatever_it_says() {
    let sources = Sources::empty("/site")
        .with(
            "banyan.toml",
            &format!("listen.admin = \"127.0.0.1:0\"\n{}\n", gate("keys.json")),
        )
        .with(
            "routes/web.toml",
            "squad = \"web\"\nbackends.web.servers = [\"http://127.0.0.1:1\"]\n\
             [[routes]]\npath = \"/account\"\nauth = \"optional\"\nbackend = \"web\"\n",
        );
    let mut settings = settings(&sources);
    for route in &mut settings.routes {
        // no file can say this
        let mut policy = Policy::clone(&route.policy);
        policy.request.https = Https::Allow;
        route.policy = Arc::new(policy);
    }
    let at = compiled_from(&settings, vec![7; 32]);
    let row = Row {
        method: "GET".to_owned(),
        host: "www.example.com".to_owned(),
        target: "/account".to_owned(),
        plain: true,
        ..Row::default()
    };
    let told = row.explained(NOW, &at);
    assert_eq!(told.refused.map(|refused| refused.status), Some(403));
    assert_eq!(told.backend, None);
}
