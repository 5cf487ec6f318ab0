//! The cache's control at the real program: its settings, its metrics, purges by the API and by the command line, and those that follow
//! from a flag.

use serde_json::{Value, json};

use crate::{
    backend::mirror,
    program::run,
    world::{World, within},
};

const FLAG: &str = "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[rollout]\nnew = 50\n";

async fn stats(world: &World) -> Value {
    serde_json::from_str(world.admin("/api/cache").await.text()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purges_are_ordered_told_and_counted() {
    let site = World::new().backend("web", mirror);
    let world = site.operator("[cache]\nmemory = \"8MiB\"\n").start().await;
    let told = stats(&world).await;
    assert_eq!(told["small"], json!({ "bytes": 0, "max": 6 << 20 }));
    assert_eq!(told["large"], json!({ "bytes": 0, "max": 2 << 20 }));
    assert_eq!(
        (&told["entry_max"], &told["entries"]),
        (&json!(2 << 20), &json!(0))
    );
    let admin = world.addresses.admin.unwrap().to_string();
    let purge = |arguments: &[&str]| {
        let all = [&["cache", "purge", "--admin", &admin, "--by", "mina"], arguments].concat();
        run(world.folder(), &all)
    };
    let ran = purge(&["/images/*", "/a?b=1", "--tag", "red", "--reason", "new pictures"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(
        ran.out,
        "purged 3; it may be served stale while it is fetched anew\n"
    );
    let ran = purge(&["/*", "--hard"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "purged 1 for good\n"));
    let ran = purge(&["images/*"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("a path begins with `/`"), "{}", ran.err);
    let told = stats(&world).await;
    assert_eq!(told["purges"], json!([3, 1]));
    let recent = &told["recent"];
    assert_eq!(recent[0]["what"], json!(["/*"]));
    assert_eq!(recent[1]["what"], json!(["/images/*", "/a?b=1", "tag red"]));
    assert_eq!(
        (&recent[1]["reason"], &recent[1]["hard"]),
        (&json!("new pictures"), &json!(false))
    );
    assert!(
        recent[1]["who"].as_str().unwrap().ends_with(" for mina"),
        "{recent}"
    );
    let ran = run(world.folder(), &["cache", "stats", "--admin", &admin]);
    assert!(
        ran.out.starts_with("0 answers\n") && ran.out.contains("soft /images/*"),
        "{}",
        ran.out
    );
    let ran = run(
        world.folder(),
        &["cache", "explain", "https://localhost/a?b=1", "--admin", &admin],
    );
    assert_eq!(
        ran.out,
        "  why    no route that keeps answers takes it; `/api/explain` says what does\nnothing is kept under this address\n"
    );
    within("the numbers", async {
        while world.metric("banyan_cache_purges_total{how=\"soft\"}").await < 3.0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(world.metric("banyan_cache_bytes_max{of=\"small\"}").await > 6e6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_purges_what_the_flag_chose_and_a_reload_takes_other_bounds() {
    let routes =
        "[[routes]]\npath = \"/x\"\nflag = \"cart\"\nbackends = { legacy = \"web\", new = \"web\" }\n";
    let site = World::new()
        .backend("web", mirror)
        .routes(routes)
        .flag("cart", FLAG);
    let world = site.start().await;
    assert_eq!(stats(&world).await["recent"], json!([]));
    world.write("flags/cart.toml", &format!("state = \"disabled\"\n{FLAG}"));
    world.reload().await;
    let told = stats(&world).await;
    let killed = &told["recent"][0];
    assert_eq!(killed["what"], json!(["flag cart"]), "{told}");
    assert_eq!(
        (&killed["hard"], &killed["who"]),
        (&json!(true), &json!("banyan"))
    );
    let operator = world.read("banyan.toml");
    world.write(
        "banyan.toml",
        &format!("{operator}\n[cache]\nmemory = \"4MiB\"\n"),
    );
    world.reload().await;
    assert_eq!(stats(&world).await["small"]["max"], json!(3 << 20));
}
