//! The first moment of a program: the issuer's keys are there before anybody is served, or are waited for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use banyan::{clock, control::publish::Publisher, snapshot::provider::FIRST_LOOK_WAIT};
use http::Response;

use crate::{
    backend::{Body, Server, Speaks, full, mirror},
    client::{Answer, Http},
    issuer::{GOOD, OTHER, gate},
    world::{Builder, World},
};

const ROUTES: &str = r#"
[[routes]]
path = "/public"
backend = "app"
[[routes]]
path = "/account"
auth = "required"
backend = "app"
"#;

fn site(keys: &str) -> Builder {
    let site = World::new().backend("app", mirror).routes(ROUTES);
    site.operator(&gate(keys))
}

#[test]
fn keys_of_a_file_are_in_the_first_snapshot_and_in_one_that_names_another_file() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _runtime = runtime.enter();
    let site = site("keys.json");
    std::fs::write(site.folder().join("keys.json"), GOOD.jwks()).unwrap();
    std::fs::write(site.folder().join("more.json"), OTHER.jwks()).unwrap();
    let path = site.write();
    let mut publisher = Publisher::start(&path, Arc::default()).unwrap();
    let digest = |publisher: &Publisher| {
        let at = publisher.live().current();
        let keys = at.gate.as_ref().unwrap().keys.load();
        assert!(!keys.is_empty(), "nothing has read them but the publisher");
        format!("{keys:?}")
    };
    let first = digest(&publisher);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("keys.json", "more.json")).unwrap();
    let _ = publisher.reload();
    assert_ne!(digest(&publisher), first);
}

/// An address with keys that says nothing before it is let to.
fn late(open: &Arc<AtomicBool>) -> Server {
    let open = Arc::clone(open);
    Server::new(Speaks::Http1, move |_| {
        let open = Arc::clone(&open);
        async move {
            while !open.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Response::<Body>::new(full(GOOD.jwks()))
        }
    })
}

async fn ask(world: &World, path: &str) -> (Answer, Duration) {
    let mut client = world.client(Http::Two).await;
    let token = format!("Bearer {}", GOOD.token("EdDSA", "alice", &[]));
    let began = clock::steady();
    let answer = client.get_with(path, &[("authorization", &token)]).await;
    (answer, clock::steady() - began)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_before_the_first_keys_waits_for_them() {
    let open = Arc::new(AtomicBool::new(false));
    let keys = late(&open);
    let world = site(&format!("{}/jwks", keys.url())).start().await;
    let letting = async {
        let (public, took) = ask(&world, "/public").await;
        assert_eq!(public.status, 200, "who needs no key waits for none");
        assert!(took < FIRST_LOOK_WAIT / 2, "{took:?}");
        open.store(true, Ordering::Relaxed);
    };
    let ((one, _), (other, _), ()) = tokio::join!(ask(&world, "/account"), ask(&world, "/account"), letting);
    assert_eq!(
        (one.status.as_u16(), other.status.as_u16()),
        (200, 200),
        "{one:?} {other:?}"
    );
    assert!(
        world
            .metric("banyan_lookups_total{whom=\"keys\",outcome=\"came\"}")
            .await
            >= 1.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_long_for_keys_that_do_not_come() {
    let open = Arc::new(AtomicBool::new(false));
    let keys = late(&open);
    let world = site(&format!("{}/jwks", keys.url())).start().await;
    let (answer, took) = ask(&world, "/account").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.header("proxy-status").contains("keys_missing"),
        "{answer:?}"
    );
    assert!(took >= FIRST_LOOK_WAIT && took < FIRST_LOOK_WAIT * 2, "{took:?}");
    drop(world);

    // an address where nobody is: once that is known, nobody waits at all
    let nowhere = {
        let gone = Server::new(Speaks::Http1, mirror);
        gone.url()
    };
    let world = site(&format!("{nowhere}/jwks")).start().await;
    let (first, _) = ask(&world, "/account").await;
    let (second, took) = ask(&world, "/account").await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (503, 503));
    assert!(took < FIRST_LOOK_WAIT / 2, "{took:?}");
}
