//! Machines' keys: made, used, limited, revoked and seen.

use crate::{
    backend::mirror,
    client::{Answer, Client, Http, until},
    issuer::{GOOD, gate},
    lookup::without_legacy,
    program,
    world::{Builder, World},
};

fn machines() -> Builder {
    World::new()
        .top("cores = 1")
        .backend("app", mirror)
        .routes(&without_legacy())
        .squad(
            "pay",
            "[[routes]]\npath = \"/pay\"\nauth = \"required\"\naccept = [\"key\"]\nbackend = \"app\"\n",
        )
        .operator(&gate("keys.json"))
}

async fn by_key(client: &mut Client, path: &str, key: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    client.get_with(path, &[("authorization", &bearer)]).await
}

/// A new key of a machine `ci`.
fn added(world: &World) -> String {
    let add = [
        "key",
        "add",
        "ci",
        "--squad",
        "world",
        "--scope",
        "orders:read",
        "--role",
        "ci",
    ];
    let made = program::run(world.folder(), &add);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let key = made.out.trim().to_owned();
    assert!(key.starts_with("bnk_") && key.len() == 76, "{key}");
    let kept = world.read("keys.toml");
    assert!(!kept.contains(&key[4..40]) && !made.err.contains(&key), "{kept}");
    assert_eq!(
        program::run(world.folder(), &add).code,
        Some(1),
        "a name is one key's"
    );
    key
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_comes_in_by_its_key_until_it_is_revoked() {
    let world = machines().start().await;
    let key = added(&world);
    let mut client = world.client(Http::Two).await;
    until("the new key", async || {
        by_key(&mut client, "/machine", &key).await.status == 200
    })
    .await;
    let seen = by_key(&mut client, "/machine", &key).await.seen();
    assert_eq!(seen.header("banyan-user"), "key:ci");
    assert_eq!(seen.header("banyan-roles"), "ci");
    for path in ["/machine", "/public"] {
        let seen = by_key(&mut client, path, &key).await.seen();
        assert!(!seen.has("authorization"), "no backend gets the key: {path}");
    }
    assert_eq!(
        by_key(&mut client, "/pay", &key).await.status,
        403,
        "another squad's"
    );
    assert_eq!(
        by_key(&mut client, "/token", &key).await.status,
        401,
        "no key is taken there"
    );
    let token = GOOD.token("EdDSA", "alice", &[]);
    assert_eq!(
        by_key(&mut client, "/machine", &token).await.status,
        401,
        "nor a token here"
    );
    let mut changed = key.clone();
    changed.replace_range(10..11, if &key[10..11] == "0" { "1" } else { "0" });
    assert_eq!(by_key(&mut client, "/machine", &changed).await.status, 401);
    until("the key's use in metrics", async || {
        world
            .metric("banyan_key_last_used_timestamp_seconds{key=\"ci\"}")
            .await
            > 1.0e9
    })
    .await;
    let listed = program::run(world.folder(), &["key", "list"]);
    assert!(
        listed.out.starts_with("ci  ends 20") && listed.out.contains("orders:read"),
        "{}",
        listed.out
    );
    assert_eq!(
        program::run(world.folder(), &["key", "revoke", "ci"]).code,
        Some(0)
    );
    until("the key's end", async || {
        by_key(&mut client, "/machine", &key).await.status == 401
    })
    .await;
    assert_eq!(
        program::run(world.folder(), &["key", "revoke", "ci"]).code,
        Some(1)
    );
    let whole = std::fs::read_to_string(world.folder().join("log/access.log")).unwrap();
    assert!(!whole.contains("bnk_"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_keys_file_leaves_the_last_good_one_in_force() {
    let world = machines().start().await;
    let made = program::run(world.folder(), &["key", "add", "ci"]);
    let key = made.out.trim().to_owned();
    let mut client = world.client(Http::Two).await;
    until("the new key", async || {
        by_key(&mut client, "/machine", &key).await.status == 200
    })
    .await;
    let good = world.read("keys.toml");
    world.write("keys.toml", &good.replace("hash = \"", "hash = \"zz"));
    let status = world.reload().await;
    assert_eq!(status.stale, ["keys.toml"], "{}", status.problems);
    assert_eq!(by_key(&mut client, "/machine", &key).await.status, 200);
    world.write("keys.toml", &good.replace("expires = 202", "expires = 201"));
    assert!(world.reload().await.stale.is_empty());
    assert_eq!(
        by_key(&mut client, "/machine", &key).await.status,
        401,
        "it has ended"
    );
}
