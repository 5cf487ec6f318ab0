//! Waiting rooms from outside: browsers that wait in line, what they are shown, and who never gets in early.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use serde_json::Value;

use crate::{
    backend::{Body, empty, full, hello},
    client::{Answer, Client, Http, until},
    issuer::{GOOD, gate},
    world::{Builder, World},
};

const ROUTES: &str = "[[routes]]\npath = \"/checkout/*\"\nbackend = \"shop\"\nroom = \"checkout\"\n\
    [[routes]]\npath = \"/*\"\nbackend = \"shop\"\n";

fn room(toml: &str) -> String {
    format!("[rooms.checkout]\n{toml}\n")
}

fn shop(rooms: &str) -> Builder {
    World::new()
        .backend("shop", hello("welcome"))
        .routes(ROUTES)
        .operator(rooms)
}

/// A browser: it keeps cookies.
struct Browser {
    client: Client,
    cookies: HashMap<String, String>,
    accept: &'static str,
}

impl Browser {
    async fn new(world: &World) -> Self {
        Self {
            client: world.client(Http::Two).await,
            cookies: HashMap::new(),
            accept: "text/html",
        }
    }

    /// Another one over the same connection.
    fn beside(client: &Client) -> Self {
        Self {
            client: client.another(),
            cookies: HashMap::new(),
            accept: "text/html",
        }
    }

    fn request(&self, method: &Method, target: &str, fields: &[(&str, &str)]) -> Request<Body> {
        let mut request = self.client.request(method, target, empty());
        let headers = request.headers_mut();
        for (name, value) in &self.cookies {
            let pair = HeaderValue::try_from(format!("{name}={value}")).unwrap();
            headers.append("cookie", pair);
        }
        headers.insert("accept", HeaderValue::from_static(self.accept));
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        request
    }

    async fn ask(&mut self, method: &Method, target: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.request(method, target, fields);
        let answer = self.client.ask(request).await;
        for set in answer.headers.get_all("set-cookie") {
            let set = set.to_str().unwrap();
            assert!(set.contains("; Secure; HttpOnly; SameSite=Lax"), "{set}");
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    async fn get(&mut self, target: &str) -> Answer {
        self.ask(&Method::GET, target, &[]).await
    }

    /// Whether it was let in.
    async fn enters(&mut self) -> bool {
        match self.get("/checkout/pay").await {
            answer if answer.status == 200 => true,
            answer => {
                assert_eq!(answer.status, 503, "{answer:?}");
                false
            }
        }
    }

    fn slip(&self) -> &str {
        &self.cookies["__Host-banyan-room-checkout"]
    }
}

async fn rooms(world: &World) -> Value {
    let told: Value = serde_json::from_str(world.admin("/api/rooms").await.text()).unwrap();
    told["rooms"][0].clone()
}

#[expect(
    clippy::too_many_lines,
    reason = "one story, told from its beginning to its end"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_visitor_waits_with_a_page_or_with_json_and_costs_the_backend_nothing() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let world = World::new()
        .backend("shop", move |_: Request<Incoming>| {
            counting.fetch_add(1, Ordering::SeqCst);
            async { Response::new(full("welcome")) }
        })
        .routes(ROUTES)
        .operator(&room("inside = 1\nidle = \"1s\""))
        .start()
        .await;
    let (mut first, mut second) = (Browser::new(&world).await, Browser::new(&world).await);
    assert_eq!(first.get("/checkout/pay").await.text(), "welcome");
    let page = second.get("/checkout/pay").await;
    assert_eq!(page.status, 503);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("proxy-status"), "banyan; details=\"waiting-room\"");
    assert!(
        page.header("content-security-policy")
            .contains("script-src 'sha256-")
    );
    let again: u64 = page.header("retry-after").parse().unwrap();
    assert!((1..=15).contains(&again), "{again}");
    assert!(page.text().contains("You are next."), "{}", page.text());
    assert!(page.text().contains("role=\"status\" aria-live=\"polite\""));
    second.accept = "application/json";
    let told = second.get("/checkout/pay").await;
    assert_eq!(
        (told.status.as_u16(), told.header("content-type")),
        (503, "application/problem+json")
    );
    let told: Value = serde_json::from_str(told.text()).unwrap();
    assert_eq!(
        (&told["room"], &told["place"], &told["status"]),
        (&"checkout".into(), &1.into(), &503.into())
    );
    let standing = second.get("/.banyan/rooms/checkout").await;
    let standing: Value = serde_json::from_str(standing.text()).unwrap();
    assert_eq!(
        (&standing["state"], &standing["words"]["place"]),
        (&"waiting".into(), &"You are next.".into())
    );
    for (method, fields) in [
        (Method::HEAD, vec![]),
        (Method::OPTIONS, vec![]),
        (Method::GET, vec![("sec-fetch-dest", "image")]),
        (Method::GET, vec![("sec-purpose", "prefetch")]),
        (Method::GET, vec![("user-agent", "Googlebot/2.1")]),
    ] {
        let mut third = Browser::new(&world).await;
        let answer = third.ask(&method, "/checkout/pay", &fields).await;
        assert_eq!(answer.status, 503, "{method} {fields:?}");
        assert!(
            !third.cookies.keys().any(|name| name.contains("room")),
            "{method} {fields:?}"
        );
    }
    assert_eq!(rooms(&world).await["waiting"], 1);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "waiting asks no backend");
    assert_eq!(Browser::new(&world).await.get("/elsewhere").await.status, 200);
    assert_eq!(
        first.ask(&Method::HEAD, "/checkout/pay", &[]).await.status,
        200,
        "who is inside may"
    );
    until("the second's turn", async || {
        second.get("/checkout/pay").await.status == 200
    })
    .await;
    let line = world.logged(|line| line["room"] == "waiting").await;
    assert_eq!(
        (&line["outcome"], &line["status"]),
        (&"answered".into(), &503.into())
    );
    world.logged(|line| line["room"] == "inside").await;
}

#[expect(
    clippy::too_many_lines,
    reason = "one story, told from its beginning to its end"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_of_a_thousand_never_fills_a_room_of_a_hundred_with_more() {
    const CROWD: usize = 1_000;
    const INSIDE: usize = 100;
    // sessions that the backend saw within the last moment
    let live: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let most = Arc::new(AtomicUsize::new(0));
    let (seen, highest) = (Arc::clone(&live), Arc::clone(&most));
    let handler = move |request: Request<Incoming>| {
        let who = request.headers()["x-who"].to_str().unwrap().to_owned();
        let mut live = seen.lock().unwrap();
        let now = banyan::clock::steady();
        live.insert(who, now);
        // whoever asked within less than the idle time is certainly inside still
        let inside = live
            .values()
            .filter(|since| now - **since < Duration::from_millis(280))
            .count();
        highest.fetch_max(inside, Ordering::SeqCst);
        async { Response::new(full("welcome")) }
    };
    let world = World::new()
        .backend("shop", handler)
        .routes(ROUTES)
        .operator(&room("inside = 100\nidle = \"300ms\"\nclaim = \"20s\""))
        .start()
        .await;
    let connections: Vec<Client> = {
        let mut connections = Vec::new();
        for _ in 0..20 {
            connections.push(world.client(Http::Two).await);
        }
        connections
    };
    let mut crowd = tokio::task::JoinSet::new();
    for at in 0..CROWD {
        let mut browser = Browser::beside(&connections[at % connections.len()]);
        crowd.spawn(async move {
            tokio::time::sleep(Duration::from_millis(at as u64)).await;
            let who = at.to_string();
            let fields = [("x-who", who.as_str())];
            let mut looks = 0;
            loop {
                looks += 1;
                let answer = browser.ask(&Method::GET, "/checkout/pay", &fields).await;
                if answer.status == 200 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            // inside it clicks on a few times
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(60)).await;
                let answer = browser.ask(&Method::GET, "/checkout/next", &fields).await;
                assert_eq!(answer.status, 200, "who is inside stays");
            }
            looks
        });
    }
    let mut looks = 0;
    while let Some(done) = crowd.join_next().await {
        looks += done.unwrap();
    }
    let most = most.load(Ordering::SeqCst);
    assert!(most <= INSIDE, "{most} were inside");
    assert!(most >= INSIDE / 2, "{most}: the room was used");
    assert!(looks > CROWD * 2, "{looks}: they waited");
    let told = rooms(&world).await;
    assert_eq!(
        (&told["admitted"], &told["missed"]),
        (&CROWD.into(), &0.into()),
        "{told}"
    );
    assert_eq!(live.lock().unwrap().len(), CROWD);
    until("metrics of it", async || {
        world
            .metric("banyan_room_admitted_total{room=\"checkout\"}")
            .await
            == CROWD as f64
            && world
                .metric("banyan_room_held_back_total{room=\"checkout\"}")
                .await
                > CROWD as f64
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_foreign_and_old_tickets_are_behind_all_others() {
    let world = shop(&room("inside = 1\nidle = \"60s\"")).start().await;
    let mut people = Vec::new();
    for _ in 0..4 {
        let mut browser = Browser::new(&world).await;
        browser.enters().await;
        browser.accept = "application/json";
        people.push(browser);
    }
    let place = async |browser: &mut Browser| -> u64 {
        let answer = browser.get("/checkout/pay").await;
        let told: Value = serde_json::from_str(answer.text()).unwrap();
        told["place"].as_u64().unwrap()
    };
    assert_eq!(place(&mut people[1]).await, 1);
    assert_eq!(place(&mut people[3]).await, 3);
    // the first in line's ticket, changed: the number of its seat, its own number, its signature
    let name = "__Host-banyan-room-checkout";
    let inside = people[0].slip().to_owned();
    let slip = people[1].slip().to_owned();
    let parts: Vec<&str> = slip.split('.').collect();
    let forged = [
        inside.clone(),
        slip.replacen(".w.", ".s.", 1),
        slip.replacen(&format!(".{}.", parts[4]), ".0.", 1),
        format!("{}x", &slip[..slip.len() - 1]),
        String::new(),
    ];
    let mut last = 3;
    for forged in forged.into_iter().filter(|forged| *forged != slip) {
        people[2].cookies.insert(name.to_owned(), forged.clone());
        let now = place(&mut people[2]).await;
        assert!(now > last, "{forged}: {now} after {last}");
        last = now;
    }
    // somebody else with the ticket of who is inside, and with one from the line
    for shared in [inside, slip] {
        let mut thief = Browser::new(&world).await;
        thief.accept = "application/json";
        thief.cookies.insert(name.to_owned(), shared.clone());
        assert!(place(&mut thief).await > last, "{shared}");
    }
    assert!(rooms(&world).await["tickets_refused"].as_u64().unwrap() >= 6);
    assert!(people[0].enters().await, "whose it is stays inside");
    assert_eq!(place(&mut people[1]).await, 1, "and in line");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_size_counts_with_the_next_request() {
    let world = shop(&room("inside = 1\nidle = \"60s\"")).start().await;
    let mut people = Vec::new();
    for _ in 0..5 {
        let mut browser = Browser::new(&world).await;
        browser.enters().await;
        people.push(browser);
    }
    let text = world.read("banyan.toml");
    world.write("banyan.toml", &text.replace("inside = 1\n", "inside = 3\n"));
    world.reload().await;
    assert!(!people[3].enters().await);
    assert!(people[1].enters().await && people[2].enters().await);
    world.write("banyan.toml", &text);
    world.reload().await;
    for person in &mut people[..3] {
        assert!(person.enters().await, "who is inside stays");
    }
    assert!(!people[3].enters().await);
    assert_eq!(rooms(&world).await["inside"], 3);
    // without the room all are let in, and with it again nobody has lost a place
    world.write(
        "routes/world.toml",
        &world
            .read("routes/world.toml")
            .replace("room = \"checkout\"\n", ""),
    );
    world.reload().await;
    assert!(people[3].enters().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_opens_on_time_and_draws_among_those_who_came_before() {
    let now = banyan::clock::wall();
    let opens = banyan::observe::log::rfc3339(now.secs() + 4);
    let world = shop(&room(&format!("inside = 2\nidle = \"60s\"\nopens = {opens}")))
        .start()
        .await;
    let mut people = Vec::new();
    for _ in 0..12 {
        let mut browser = Browser::new(&world).await;
        let page = browser.get("/checkout/pay").await;
        assert_eq!(page.status, 503);
        assert!(page.text().contains("Not open yet"), "{}", page.text());
        assert!(
            page.text().contains(&format!("datetime=\"{opens}\"")),
            "{}",
            page.text()
        );
        browser.accept = "application/json";
        people.push(browser);
    }
    assert_eq!(
        (&rooms(&world).await["open"], &rooms(&world).await["waiting"]),
        (&false.into(), &12.into())
    );
    until("the opening", async || rooms(&world).await["open"] == true).await;
    let mut late = Browser::new(&world).await;
    late.accept = "application/json";
    let told: Value = serde_json::from_str(late.get("/checkout/pay").await.text()).unwrap();
    assert_eq!(told["place"], 11, "two of twelve are called: {told}");
    let mut places = HashSet::new();
    let mut inside = 0;
    for browser in &mut people {
        let answer = browser.get("/checkout/pay").await;
        if answer.status == 200 {
            inside += 1;
            continue;
        }
        let told: Value = serde_json::from_str(answer.text()).unwrap();
        assert!(places.insert(told["place"].as_u64().unwrap()), "{told}");
    }
    assert_eq!((inside, places), (2, (1..=10).collect()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staff_pass_by_and_calls_inside_the_network_do() {
    let routes = "[[routes]]\npath = \"/*\"\nbackend = \"shop\"\nroom = \"checkout\"\nauth = \"optional\"\n";
    let operator = format!(
        "{}\n{}",
        gate("keys.json"),
        room("inside = 1\nbypass = [\"staff\"]")
    );
    let builder = World::new()
        .backend("shop", hello("welcome"))
        .routes(routes)
        .operator(&operator);
    std::fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
    let world = builder.start().await;
    let bearer = format!("Bearer {}", GOOD.token("ES256", "mina", &["staff"]));
    let mut mina = Browser::new(&world).await;
    until("the issuer's keys", async || {
        let answer = mina
            .ask(&Method::GET, "/checkout/pay", &[("authorization", &bearer)])
            .await;
        answer.status == 200
    })
    .await;
    assert!(Browser::new(&world).await.enters().await);
    assert!(!Browser::new(&world).await.enters().await);
    let answer = mina
        .ask(&Method::GET, "/checkout/pay", &[("authorization", &bearer)])
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        world.private(Http::One).await.get("/checkout/pay").await.status,
        200
    );
    assert_eq!(rooms(&world).await["inside"], 1);
    assert!(rooms(&world).await["bypassed"].as_u64().unwrap() >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flags_room_is_for_those_whom_it_moves() {
    let routes = "[[routes]]\npath = \"/*\"\nflag = \"beta\"\nbackends = { legacy = \"shop\", new = \"next\" }\n\
        [rooms.beta]\ninside = 1\nflags = [\"beta\"]\n";
    let flag = "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[[rules]]\n\
        if = { in = [\"/new/\", { var = \"request.path\" }] }\nserve = \"new\"\n";
    let world = World::new()
        .backend("shop", hello("old"))
        .backend("next", hello("new"))
        .routes(routes)
        .flag("beta", flag)
        .start()
        .await;
    let mut first = Browser::new(&world).await;
    assert_eq!(first.get("/new/a").await.text(), "new");
    let mut second = Browser::new(&world).await;
    assert_eq!(second.get("/new/a").await.status, 503);
    assert_eq!(second.get("/old/a").await.text(), "old");
    assert_eq!(first.get("/new/b").await.text(), "new");
    let told = world.admin("/api/explain?url=/new/x").await;
    assert!(
        told.text()
            .contains("1 of 1 inside, 1 waiting; this request takes a number, and waits"),
        "{}",
        told.text()
    );
    let told = world.admin("/api/explain?url=/old/x").await;
    let told: Value = serde_json::from_str(told.text()).unwrap();
    assert_eq!(told["room"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seat_is_kept_for_its_visitor_when_the_backend_fails() {
    let world = World::new()
        .servers("shop", &["http://127.0.0.1:9".to_owned()])
        .routes(ROUTES)
        .operator(&room("inside = 1\nidle = \"60s\""))
        .start()
        .await;
    let mut first = Browser::new(&world).await;
    for _ in 0..3 {
        assert_eq!(first.get("/checkout/pay").await.status, 502);
    }
    assert_eq!(rooms(&world).await["inside"], 1);
    let mut second = Browser::new(&world).await;
    assert!(!second.enters().await);
}
