//! The demo's servers, asked over loopback, and the files that are shipped with them.

use std::{net::SocketAddr, path::Path};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{PORTS, Ports, server::pick, site, start};

async fn ask(server: SocketAddr, request: Request<Full<Bytes>>) -> Response<String> {
    let io = TokioIo::new(TcpStream::connect(server).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap())
}

fn get(path: &str) -> http::request::Builder {
    Request::get(path).header("host", "localhost")
}

async fn read(server: SocketAddr, path: &str) -> (StatusCode, String) {
    let answer = ask(server, get(path).body(Full::default()).unwrap()).await;
    (answer.status(), answer.into_body())
}

#[tokio::test]
async fn every_page_is_there_and_says_who_served_it() {
    let demo = start(Ports::Free).unwrap();
    for (server, generation, paths) in [
        (
            demo.legacy,
            "legacy",
            &[
                "/",
                "/courses",
                "/courses/rust",
                "/courses/rust/reviews",
                "/cart",
                "/live",
            ][..],
        ),
        (
            demo.learn,
            "learn, new",
            &["/courses", "/courses/rust", "/courses/rust/reviews/"],
        ),
        (demo.shop, "shop, new", &["/shop", "/shop/", "/cart"]),
    ] {
        for path in paths {
            let (status, text) = read(server, path).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(text.contains(&format!("served by <b>{generation}</b>")), "{path}");
        }
        assert_eq!(
            read(server, "/healthz").await,
            (StatusCode::OK, "ok\n".to_owned())
        );
        let (status, text) = read(server, "/no/a&b'c").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(text.contains("/no/a&amp;b&#39;c"), "{text}");
    }
}

#[tokio::test]
async fn files_that_pages_name_are_there() {
    let demo = start(Ports::Free).unwrap();
    for (server, page) in [
        (demo.legacy, "/live"),
        (demo.learn, "/courses/rust"),
        (demo.shop, "/shop"),
    ] {
        let (_, text) = read(server, page).await;
        let named: Vec<&str> = text
            .split('"')
            .filter(|part| part.starts_with('/') && (part.ends_with(".css") || part.ends_with(".js")))
            .collect();
        assert!(!named.is_empty(), "{page}");
        for file in named {
            assert_eq!(read(server, file).await.0, StatusCode::OK, "{file}");
        }
    }
    let (_, text) = read(demo.learn, "/api/courses").await;
    let courses: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(courses[0]["slug"], "rust");
}

#[tokio::test]
async fn what_one_cart_was_given_the_other_one_shows() {
    let demo = start(Ports::Free).unwrap();
    let post = |path: &str, cookie: &str, form: &'static str| {
        let request = Request::post(path)
            .header("host", "localhost")
            .header("cookie", cookie);
        request.body(Full::from(form)).unwrap()
    };
    let answer = ask(
        demo.legacy,
        post("/cart/add", "a=b; academy-cart=sql", "course=rust"),
    )
    .await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let set = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(set.starts_with("academy-cart=sql.rust;"), "{set}");

    let request = get("/cart").header("cookie", "academy-cart=sql.rust");
    let shown = ask(demo.shop, request.body(Full::default()).unwrap())
        .await
        .into_body();
    assert!(
        shown.contains("Rust for careful people") && shown.contains("€84"),
        "{shown}"
    );

    let answer = ask(
        demo.shop,
        post("/cart/remove", "academy-cart=sql.rust", "course=sql"),
    )
    .await;
    let set = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(set.starts_with("academy-cart=rust;"), "{set}");
    let answer = ask(
        demo.shop,
        post("/cart/add", "academy-cart=<x>", "course=%0d%0aSet-Cookie"),
    )
    .await;
    let set = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(set.starts_with("academy-cart=;"), "only known courses: {set}");
}

#[tokio::test]
async fn flags_are_shown_as_banyan_told_them() {
    let demo = start(Ports::Free).unwrap();
    let request = get("/courses/rust/reviews")
        .header("banyan-flags", "course-reviews=new, search=<b>")
        .header("x-request-id", "abc");
    let text = ask(demo.learn, request.body(Full::default()).unwrap())
        .await
        .into_body();
    assert!(
        text.contains("<code>course-reviews=new</code> <code>search=&lt;b&gt;</code>"),
        "{text}"
    );
    assert!(text.contains("<code>abc</code>"));
}

#[tokio::test]
async fn the_echo_tells_the_request_as_it_came() {
    let demo = start(Ports::Free).unwrap();
    let request = Request::put("/echo?a=1")
        .header("host", "localhost")
        .header("x-twice", "1");
    let request = request.header("x-twice", "2").body(Full::from("hello")).unwrap();
    let text = ask(demo.legacy, request).await.into_body();
    let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&seen["method"], &seen["target"]),
        (&"PUT".into(), &"/echo?a=1".into())
    );
    assert_eq!(seen["body_bytes"], 5);
    let headers = seen["headers"].as_array().unwrap();
    assert_eq!(headers.iter().filter(|pair| pair[0] == "x-twice").count(), 2);
}

#[tokio::test]
async fn streams_are_as_long_as_asked_and_http2_is_spoken() {
    let demo = start(Ports::Free).unwrap();
    let (_, zeros) = read(demo.legacy, "/bytes?count=40000").await;
    assert_eq!(zeros.len(), 40_000);
    let io = TokioIo::new(TcpStream::connect(demo.legacy).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://localhost/events")
        .body(Full::<Bytes>::default())
        .unwrap();
    let mut events = sender.send_request(request).await.unwrap();
    assert_eq!(events.headers()[header::CONTENT_TYPE], "text/event-stream");
    let first = events
        .body_mut()
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap();
    assert_eq!(first, "id: 0\ndata: 0\n\n");
}

#[tokio::test]
async fn the_websocket_says_back_what_it_hears() {
    let demo = start(Ports::Free).unwrap();
    let mut tcp = TcpStream::connect(demo.legacy).await.unwrap();
    // The key and its answer are RFC 6455 section 1.3's own example.
    let hello = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    tcp.write_all(hello.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "{head}"
    );
    let masked = |first: u8, text: &[u8]| {
        let mask = [0x37, 0xFA, 0x21, 0x3D];
        let length = u16::try_from(text.len()).unwrap();
        let mut frame = vec![first, 0x80 | 126];
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&mask);
        frame.extend(
            text.iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        frame
    };
    for (sent, first, back) in [
        (masked(0x81, b"hello"), 0x81, b"hello".to_vec()),
        (masked(0x82, &[7; 300]), 0x82, vec![7; 300]),
        (masked(0x89, b"?"), 0x8A, b"?".to_vec()),
        (masked(0x88, &[3, 232]), 0x88, vec![3, 232]),
    ] {
        tcp.write_all(&sent).await.unwrap();
        assert_eq!(tcp.read_u8().await.unwrap(), first);
        let length = match tcp.read_u8().await.unwrap() {
            126 => usize::from(tcp.read_u16().await.unwrap()),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        tcp.read_exact(&mut payload).await.unwrap();
        assert_eq!(payload, back);
    }
    assert_eq!(
        tcp.read(&mut [0]).await.unwrap(),
        0,
        "closed after the closing frame"
    );
}

#[tokio::test]
async fn a_dropped_demo_frees_its_ports_though_connections_are_open() {
    let demo = start(Ports::Free).unwrap();
    let addresses = [demo.legacy, demo.learn, demo.shop];
    let mut open = TcpStream::connect(demo.legacy).await.unwrap();
    open.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    open.read_u8().await.unwrap();
    drop(demo);
    for address in addresses {
        TcpListener::bind(address).await.unwrap();
    }
}

#[test]
fn a_busy_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = super::listen("shop", "shop-web", port).unwrap_err().to_string();
    assert!(
        error.contains(&format!("127.0.0.1:{port}")) && error.contains("[backends.shop-web]"),
        "{error}"
    );
}

#[test]
fn the_shipped_files_are_all_in_the_site_and_lead_to_the_demo() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut shipped = vec!["banyan.toml".to_owned(), "certs/README.md".to_owned()];
    for folder in ["routes", "flags"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            shipped.push(format!("{folder}/{}", entry.unwrap().file_name().display()));
        }
    }
    let mut named: Vec<String> = site().iter().map(|(name, _)| (*name).to_owned()).collect();
    shipped.sort();
    named.sort();
    assert_eq!(named, shipped);
    let all: String = site().iter().map(|(_, text)| *text).collect();
    for port in PORTS {
        assert!(all.contains(&format!("\"http://127.0.0.1:{port}\"")), "{port}");
    }
    for (name, text) in site() {
        assert!(text.starts_with('#'), "{name} says first what it is");
        if name.ends_with(".toml") {
            toml::from_str::<toml::Table>(text).unwrap();
        }
    }
}

#[test]
fn a_parameter_is_found_by_its_whole_name() {
    assert_eq!(pick("xms=1&ms=2&ms=3", "ms"), Some("2"));
    assert_eq!(pick("", "ms"), None);
}
