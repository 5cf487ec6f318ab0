//! Saved files are noticed, whoever else is busy.

use std::{fs, time::Duration};

use super::Watch;

#[tokio::test]
async fn a_change_is_not_lost_when_the_waiting_is_broken_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = Watch::start(folder.path(), folder.path()).unwrap();
    fs::write(folder.path().join("banyan.toml"), "one").unwrap();
    // Broken off while it waits for the notice, and while it waits for the rest after it.
    for _ in 0..3 {
        let _ = tokio::time::timeout(Duration::from_millis(20), watch.changed()).await;
    }
    told(&mut watch, "written to").await;
}

#[tokio::test]
async fn a_folder_that_was_replaced_is_watched_again() {
    let site = tempfile::tempdir().unwrap();
    let (flags, aside) = (site.path().join("flags"), site.path().join("aside"));
    let mut watch = Watch::start(site.path(), &site.path().join("certs")).unwrap();
    // It did not exist at the start; then it is replaced by another of the same name.
    for round in ["made", "replaced"] {
        if round == "replaced" {
            fs::rename(&flags, &aside).unwrap();
        }
        fs::create_dir(&flags).unwrap();
        watch.look_around();
        told(&mut watch, round).await;
        fs::write(flags.join("one.toml"), round).unwrap();
        told(&mut watch, round).await;
    }
}

async fn told(watch: &mut Watch, round: &str) {
    let told = tokio::time::timeout(Duration::from_secs(10), watch.changed()).await;
    assert!(told.is_ok(), "nothing was told when it was {round}");
}
