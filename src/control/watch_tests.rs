//! Saved files are noticed, whoever else is busy; files that nobody reads are not.

use std::{fs, io::Write, os::unix::fs::symlink, path::Path, time::Duration};

use super::{Wanted, Watch};

fn wanted(folder: &Path) -> Wanted {
    Wanted {
        folder: folder.to_owned(),
        main: "banyan.toml".to_owned(),
        certs: folder.join("certs"),
        keys: Some(folder.join("keys/jwks")),
        pages: vec![folder.join("routes/errors/404.html"), folder.join("50x.html")],
        attached: vec![folder.join("keys/videos.pem"), folder.join("geo/city.mmdb")],
    }
}

#[tokio::test]
async fn a_change_is_not_lost_when_the_waiting_is_broken_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = Watch::start(wanted(folder.path())).unwrap();
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
    let mut watch = Watch::start(wanted(site.path())).unwrap();
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

#[tokio::test]
async fn only_files_that_are_read_are_told_of() {
    let site = tempfile::tempdir().unwrap();
    let site = site.path();
    let read = [
        "banyan.toml",
        "routes/learn.toml",
        "flags/one.toml",
        "flags/set.json",
        "certs/www.pem",
        "certs/www.crt",
        "certs/www.key",
        "keys/jwks",
        "routes/errors/404.html",
        "50x.html",
        "keys/videos.pem",
        "geo/city.mmdb",
    ];
    let others = [
        "access.log",
        "notes.toml",
        "routes/.learn.toml.swp",
        "routes/learn.json",
        "flags/access.log",
        "certs/banyan.toml",
        "keys/jwks.pem",
        "routes/errors/500.html",
        "404.html",
        "geo/asn.mmdb",
    ];
    for folder in ["routes", "routes/errors", "flags", "certs", "keys", "geo"] {
        fs::create_dir(site.join(folder)).unwrap();
    }
    let mut watch = Watch::start(wanted(site)).unwrap();
    for file in others {
        fs::write(site.join(file), "a line\n").unwrap();
        append(&site.join(file));
        fs::rename(site.join(file), site.join(format!("{file}.1"))).unwrap();
    }
    quiet(&mut watch, "files that nobody reads were written").await;
    for file in read {
        fs::write(site.join(file), "one").unwrap();
        told(&mut watch, &format!("{file}, made")).await;
        append(&site.join(file));
        told(&mut watch, &format!("{file}, longer")).await;
        // How editors save, and how the tools of Kubernetes and certificates do.
        fs::write(site.join("certs/draft"), "two").unwrap();
        fs::rename(site.join("certs/draft"), site.join(file)).unwrap();
        told(&mut watch, &format!("{file}, replaced")).await;
        fs::remove_file(site.join(file)).unwrap();
        told(&mut watch, &format!("{file}, gone")).await;
    }
}

/// A volume of Kubernetes: each file is a link through `..data`, which is exchanged for another link.
#[tokio::test]
async fn files_behind_links_that_are_exchanged_are_told_of() {
    let site = tempfile::tempdir().unwrap();
    let routes = site.path().join("routes");
    for version in ["..1", "..2"] {
        fs::create_dir_all(routes.join(version)).unwrap();
        fs::write(routes.join(version).join("learn.toml"), version).unwrap();
    }
    symlink("..1", routes.join("..data")).unwrap();
    symlink("..data/learn.toml", routes.join("learn.toml")).unwrap();
    let mut watch = Watch::start(wanted(site.path())).unwrap();
    symlink("..2", routes.join("..data_tmp")).unwrap();
    told(&mut watch, "a new link").await;
    fs::rename(routes.join("..data_tmp"), routes.join("..data")).unwrap();
    told(&mut watch, "the link exchanged").await;
}

#[tokio::test]
async fn what_becomes_wanted_is_watched_and_what_no_longer_is_is_not() {
    let site = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let before = wanted(site.path());
    let mut watch = Watch::start(before.clone()).unwrap();
    // The folder of certificates by another name of the site's own folder, where the kernel keeps one watch for both.
    let link = elsewhere.path().join("link");
    symlink(site.path(), &link).unwrap();
    let after = Wanted {
        certs: link,
        keys: Some(elsewhere.path().join("jwks")),
        ..before
    };
    watch.follow(after.clone());
    told(&mut watch, "wanted").await;
    watch.follow(after);
    quiet(&mut watch, "nothing happened").await;
    for file in [
        elsewhere.path().join("jwks"),
        site.path().join("www.pem"),
        site.path().join("banyan.toml"),
    ] {
        fs::write(&file, "one").unwrap();
        told(&mut watch, &file.to_string_lossy()).await;
    }
    fs::create_dir(site.path().join("keys")).unwrap();
    told(&mut watch, "a folder").await;
    fs::write(site.path().join("keys/jwks"), "one").unwrap();
    quiet(&mut watch, "the keys are elsewhere").await;
}

fn append(file: &Path) {
    let mut open = fs::OpenOptions::new().append(true).open(file).unwrap();
    open.write_all(b"more").unwrap();
}

async fn told(watch: &mut Watch, round: &str) {
    let told = tokio::time::timeout(Duration::from_secs(10), watch.changed()).await;
    assert!(told.is_ok(), "nothing was told: {round}");
}

async fn quiet(watch: &mut Watch, round: &str) {
    let told = tokio::time::timeout(Duration::from_millis(400), watch.changed()).await;
    assert!(told.is_err(), "something was told although {round}");
}
