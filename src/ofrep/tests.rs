//! The protocol's words, as its clients read them.

use http::{Method, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Audience, Bulk, Question, Reply, Wanted, context::Context, fault::Fault, parameter, single};
use crate::{
    clock::UnixTime,
    config::{self, Sources},
    fields::Fields,
    flag::{Person, Subject},
    gate::Identity,
    snapshot::{
        Snapshot,
        compile::{Means, compile},
        decide::{Ask, Credential, Entrance, decide},
    },
    visitor::{SigningKey, Visitor, VisitorSettings},
};

const NOW: UnixTime = UnixTime::from_secs(1_767_225_600);

const OPERATOR: &str = "hosts = [\"www.example.com\"]\n[gate]\nissuer = \"https://issuer.example\"\naudience = [\"shop\"]\n\
    jwks = \"https://issuer.example/keys\"\ndefault_auth = \"none\"\n[squads.shop]\npaths = [\"/*\"]\n";

const ROUTES: &str = r#"
squad = "shop"
[backends.old]
servers = ["http://127.0.0.1:1"]
[backends.fresh]
servers = ["http://127.0.0.1:2"]
[[routes]]
path = "/by-visitor"
flag = "by-visitor"
backends = { legacy = "old", new = "fresh" }
[[routes]]
path = "/by-user"
flag = "by-user"
backends = { legacy = "old", new = "fresh" }
auth = "optional"
[[routes]]
path = "/staff"
flag = "staff"
backends = { legacy = "old", new = "fresh" }
auth = "optional"
[[routes]]
path = "/unseen"
flag = "unseen"
backends = { legacy = "old", new = "fresh" }
[[routes]]
path = "/*"
backend = "old"
"#;

const TWO: &str = "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n";

fn files() -> Sources {
    let staff = "[[rules]]\nif = { in = [\"staff\", { var = \"user.roles\" }] }\nserve = \"new\"\n";
    let public = |more: &str| format!("public = true\n{TWO}{more}");
    Sources::empty("site")
        .with("banyan.toml", OPERATOR)
        .with("routes/shop.toml", ROUTES)
        .with("flags/by-visitor.toml", &public("[rollout]\nnew = 50.0\n"))
        .with(
            "flags/by-user.toml",
            &public("[rollout]\nby = \"user\"\nnew = 50.0\n"),
        )
        .with("flags/staff.toml", &public(staff))
        .with("flags/unseen.toml", &public(staff)) // its route says auth = "none"
        .with("flags/off.toml", &public("state = \"disabled\"\n"))
        .with("flags/secret.toml", TWO)
        .with(
            "flags/fails.toml",
            &public("[[rules]]\nif = { \"/\" = [1, 0] }\nserve = \"new\"\n"),
        )
        .with(
            "flags/plan.toml",
            &format!("{TWO}[[rules]]\nif = {{ \"==\" = [{{ var = \"plan.tier\" }}, 2] }}\nserve = \"new\"\n"),
        )
}

fn site(files: &Sources) -> Snapshot {
    let loaded = config::load_sources(files, &|_| None);
    assert!(!loaded.problems.has_errors(), "{}", loaded.problems.to_plain());
    let visitors = VisitorSettings {
        keys: vec![SigningKey {
            id: "test".to_owned(),
            secret: vec![7; 32],
        }],
        max_age: std::time::Duration::from_secs(86_400),
        ..VisitorSettings::default()
    };
    let means = Means {
        previous: None,
        visitors: &visitors,
        sessions: &[],
        tls: &|_| Err("no https here".to_owned()),
    };
    compile(&loaded.settings.unwrap(), 1, &means).unwrap()
}

fn said(reply: &Reply) -> Value {
    serde_json::from_str(&reply.text).unwrap()
}

/// What a program is told of a flag for a context.
fn told(key: &str, context: &Value) -> (u16, Value) {
    let body = json!({ "context": context }).to_string();
    let context = Context::read(body.as_bytes()).unwrap();
    let question = Question {
        audience: Audience::Programs,
        subject: context.subject(NOW),
    };
    let (reply, _) = single(&question, key, &site(&files()));
    (reply.status.as_u16(), said(&reply))
}

fn whole(question: &Question<'_>, at: &Snapshot) -> Reply {
    let mut bulk = Bulk::default();
    loop {
        if let Some(reply) = bulk.go_on(question, at) {
            return reply;
        }
    }
}

#[test]
fn every_answer_has_what_clients_insist_on() {
    let (status, on) = told("staff", &json!({ "user": { "id": "mina", "roles": ["staff"] } }));
    assert_eq!(status, 200);
    assert_eq!(
        on,
        json!({ "key": "staff", "reason": "TARGETING_MATCH", "variant": "new", "value": "new", "metadata": {} })
    );
    let (_, off) = told("off", &json!({}));
    assert_eq!(off, json!({ "key": "off", "reason": "DISABLED", "metadata": {} }));
    let (status, none) = told("nothing", &json!({}));
    assert_eq!(status, 404);
    assert_eq!(none["errorCode"], "FLAG_NOT_FOUND");
    assert!(none["errorDetails"].is_string() && none["metadata"].is_object());
    let (_, failed) = told("fails", &json!({}));
    assert_eq!(
        failed,
        json!({ "key": "fails", "reason": "UNKNOWN", "variant": "legacy", "value": "legacy",
            "metadata": { "reason": "ERROR", "errorCode": "PARSE_ERROR" } })
    );
}

#[test]
fn a_program_says_whom_it_asks_about() {
    assert_eq!(
        told("plan", &json!({ "plan": { "tier": 2 } })).1["variant"],
        "new"
    );
    assert_eq!(
        told("plan", &json!({ "plan": { "tier": 1 } })).1["reason"],
        "DEFAULT"
    );
    assert_eq!(
        told("by-visitor", &json!({})).1["errorCode"],
        "TARGETING_KEY_MISSING"
    );
    assert_eq!(
        told("by-user", &json!({ "targetingKey": "v" })).1["reason"],
        "DEFAULT"
    );
    let sides: std::collections::BTreeSet<String> = (0..64)
        .map(|n| told("by-visitor", &json!({ "targetingKey": format!("u{n}") })).1["variant"].to_string())
        .collect();
    assert_eq!(sides.len(), 2, "both variants occur");
}

#[test]
fn only_public_flags_are_there_for_browsers() {
    let at = site(&files());
    let (method, fields) = (Method::POST, Fields::new());
    let question = Question {
        audience: Audience::Browsers,
        subject: subject(&method, &fields),
    };
    assert_eq!(
        single(&question, "secret", &at).0,
        Fault::FlagNotFound.reply(Some("secret"))
    );
    assert_eq!(single(&question, "plan", &at).0.status, StatusCode::NOT_FOUND);
    let bulk = said(&whole(&question, &at));
    let keys: Vec<&str> = bulk["flags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flag| flag["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["by-user", "by-visitor", "fails", "off", "staff", "unseen"]);
    assert_eq!(
        bulk["eventStreams"][0]["endpoint"]["requestUri"],
        "/.banyan/ofrep/v1/events"
    );
}

fn subject<'r>(method: &'r Method, headers: &'r Fields) -> Subject<'r> {
    Subject {
        visitor: None,
        person: None,
        host: "www.example.com",
        path: "/.banyan/ofrep/v1/evaluate/flags",
        query: None,
        method,
        headers,
        now: NOW,
        given: None,
        forced: None,
        pins: None,
    }
}

proptest! {
    /// What a page learns is where its visitor's requests go.
    #[test]
    fn browsers_are_told_what_routing_does(entropy: [u8; 16], known: bool, user in proptest::option::of("[a-z]{1,6}"), staff: bool) {
        let at = site(&files());
        let visitor = at.visitors.mint(entropy, NOW);
        let mut headers = Fields::new();
        if known {
            let set = at.visitors.set_cookie(&visitor, NOW);
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            headers.insert("cookie", pair.as_bytes());
        }
        let roles = if staff { vec!["staff".to_owned()] } else { Vec::new() };
        let identity = user.map(|user| std::sync::Arc::new(Identity::pretended(&user, &roles)));
        let seen = at.visitors.identify(&headers, NOW).visitor;
        let person = identity.as_deref().map(|identity| Person {
            id: &identity.subject,
            roles: &identity.roles,
            claims: Some(&identity.claims),
        });
        let method = Method::POST;
        let question = Question {
            audience: Audience::Browsers,
            subject: Subject { visitor: seen.as_ref().map(Visitor::id), person, ..subject(&method, &headers) },
        };
        for key in ["by-visitor", "by-user", "staff", "unseen"] {
            let target = format!("/{key}");
            let ask = Ask {
                entrance: Entrance::Public,
                method: &Method::GET,
                host: "www.example.com",
                target: &target,
                headers: &headers,
                client: None,
                credential: Credential::Pretend(identity.as_ref()),
                entropy: [0; 16],
            };
            let routed = decide(&ask, NOW, &at, &mut ()).unwrap();
            let (flag, choice) = routed.choices[0];
            let routed = at.flags.get(flag).unwrap().variant(choice.variant.unwrap()).unwrap();
            let told = said(&single(&question, key, &at).0);
            prop_assert_eq!(told["variant"].as_str(), Some(routed.as_str()), "{}: {}", key, told);
        }
    }

    /// No body can break the reading, and what it says is in the words of the protocol.
    #[test]
    fn any_body_is_read_or_refused(body: Vec<u8>) {
        if let Err(fault) = Context::read(&body) {
            prop_assert!(matches!(fault, Fault::Parse(_) | Fault::InvalidContext(_)));
            prop_assert_eq!(fault.status(), StatusCode::BAD_REQUEST);
        }
    }
}

#[test]
fn a_context_of_another_shape_is_refused() {
    let check = |body: &str, code: &str| {
        assert_eq!(
            Context::read(body.as_bytes()).unwrap_err().code(),
            Some(code),
            "{body}"
        );
    };
    check("{", "PARSE_ERROR");
    check("[]", "INVALID_CONTEXT");
    check(r#"{"context":[]}"#, "INVALID_CONTEXT");
    check(r#"{"context":{"targetingKey":7}}"#, "INVALID_CONTEXT");
    for fine in ["", "{}", r#"{"context":null}"#, r#"{"context":{},"more":1}"#] {
        assert_eq!(Context::read(fine.as_bytes()), Ok(Context::default()), "{fine}");
    }
}

#[test]
fn nobody_gives_names_that_are_banyans_own() {
    let at = site(&files().with(
        "flags/own.toml",
        &format!(
            "{TWO}[[rules]]\nif = {{ \"==\" = [{{ var = \"$flagd.flagKey\" }}, \"own\"] }}\nserve = \"new\"\n"
        ),
    ));
    let context = Context::read(br#"{"context":{"$flagd":{"flagKey":"other"}}}"#).unwrap();
    let question = Question {
        audience: Audience::Programs,
        subject: context.subject(NOW),
    };
    assert_eq!(said(&single(&question, "own", &at).0)["variant"], "new");
}

#[test]
fn a_tag_stands_for_the_evaluated_body() {
    let at = site(&files());
    let ask = |key: &str, at: &Snapshot| {
        let context = Context::read(
            json!({ "context": { "targetingKey": key } })
                .to_string()
                .as_bytes(),
        )
        .unwrap();
        let question = Question {
            audience: Audience::Programs,
            subject: context.subject(NOW),
        };
        whole(&question, at)
    };
    let (one, same) = (
        ask("a", &at),
        ask("a", &site(&files().with("flags/new.toml", TWO))),
    );
    assert_ne!(one.tag, same.tag, "another flag is another body");
    let others: Vec<Reply> = (0..64).map(|n| ask(&format!("k{n}"), &at)).collect();
    for other in &others {
        assert_eq!(one.text == other.text, one.tag == other.tag);
    }
    let tag = one.tag.clone().unwrap();
    assert!(one.is_known(&format!("\"x\", W/{tag}")));
    assert!(!one.is_known("\"x\"") && !one.is_known("*"));
}

#[test]
fn marks_follow_the_flags_that_are_read() {
    let (at, secret, public) = (
        site(&files()),
        site(&files().with("flags/secret.toml", &format!("{TWO}[rollout]\nnew = 1.0\n"))),
        site(&files().with("flags/off.toml", &format!("public = true\n{TWO}"))),
    );
    assert_eq!(
        at.serving,
        site(&files()).serving,
        "the same files, the same marks"
    );
    assert_eq!(at.serving.public_mark, secret.serving.public_mark);
    assert_ne!(at.serving.mark, secret.serving.mark);
    assert_ne!(at.serving.public_mark, public.serving.public_mark);
    let text = at.serving.mark.to_string();
    assert!(
        at.serving.mark.is(&text)
            && !at.serving.mark.is(&text.to_uppercase()[1..])
            && !at.serving.mark.is("+")
    );
}

#[test]
fn paths_and_parameters_are_read() {
    assert_eq!(Wanted::read("events"), Some(Wanted::Events));
    assert_eq!(Wanted::read("evaluate/flags"), Some(Wanted::Bulk));
    assert_eq!(Wanted::read("evaluate/flags/"), Some(Wanted::Bulk));
    assert_eq!(Wanted::read("evaluate/flags/a-b"), Some(Wanted::Single("a-b")));
    for strange in [
        "",
        "event",
        "events/",
        "evaluate",
        "evaluate/flags/a/b",
        "evaluate/flagsx",
    ] {
        assert_eq!(Wanted::read(strange), None, "{strange}");
    }
    assert_eq!(
        parameter(Some("a=1&flagConfigEtag=x&flagConfigEtag=y"), "flagConfigEtag"),
        Some("x")
    );
    assert_eq!(parameter(Some("flagConfigEtag"), "flagConfigEtag"), None);
    assert_eq!(parameter(None, "a"), None);
}

mod events {
    use std::{sync::Arc, time::Duration};

    use super::{
        super::events::{Stream, caught_up},
        *,
    };
    use crate::snapshot::live::Live;

    async fn piece(stream: &mut Stream) -> String {
        String::from_utf8(stream.next().await.unwrap().to_vec()).unwrap()
    }

    fn other() -> Arc<Snapshot> {
        Arc::new(site(
            &files().with("flags/off.toml", &format!("public = true\n{TWO}")),
        ))
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_what_is_read_is_told_once() {
        let live = Live::new(Arc::new(site(&files())));
        let mark = live.current().serving.public_mark.to_string();
        let mut stream = Stream::new(live.changes(), Audience::Browsers, Some(&mark), Duration::ZERO);
        let hello = piece(&mut stream).await;
        assert_eq!(
            hello,
            format!("retry: 1000\nid: {mark}\n\n"),
            "who knows the state is told no event"
        );
        assert_eq!(piece(&mut stream).await, ":\n\n", "nothing changes: a heartbeat");
        live.publish(Arc::new(site(
            &files().with("flags/secret.toml", &format!("{TWO}[rollout]\nnew = 1.0\n")),
        )));
        assert_eq!(
            piece(&mut stream).await,
            ":\n\n",
            "what browsers may not read is none of theirs"
        );
        live.publish(other());
        let news = piece(&mut stream).await;
        let mark = live.current().serving.public_mark;
        let data = format!("data: {{\"type\":\"refetchEvaluation\",\"etag\":\"{mark}\"}}");
        assert_eq!(news, format!("id: {mark}\nevent: message\n{data}\n\n"));
        assert_eq!(piece(&mut stream).await, ":\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn who_missed_a_change_is_told_at_once() {
        let live = Live::new(Arc::new(site(&files())));
        let mut stream = Stream::new(live.changes(), Audience::Browsers, Some("before"), Duration::ZERO);
        assert!(piece(&mut stream).await.contains("refetchEvaluation"));
        // a page that has no id yet may have read its flags just before the change
        let mut stream = Stream::new(live.changes(), Audience::Browsers, None, Duration::ZERO);
        assert!(piece(&mut stream).await.contains("refetchEvaluation"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_router() {
        let live = Live::new(Arc::new(site(&files())));
        let mut stream = Stream::new(live.changes(), Audience::Programs, None, Duration::ZERO);
        piece(&mut stream).await;
        drop(live);
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_edge_that_is_behind_waits_for_a_bounded_time() {
        let live = Live::new(Arc::new(site(&files())));
        let ahead = other().serving.mark.to_string();
        assert!(!caught_up(live.changes(), Audience::Programs, &ahead).await);
        let waiting = tokio::spawn(caught_up(
            live.changes(),
            Audience::Programs,
            "00000000000000000000000000000000",
        ));
        assert!(!waiting.await.unwrap());
        let changes = live.changes();
        let now = live.current().serving.mark.to_string();
        live.publish(other());
        assert!(caught_up(changes, Audience::Programs, &ahead).await);
        assert!(
            caught_up(live.changes(), Audience::Programs, &now).await,
            "what was in force once is no news"
        );
    }
}
