//! What is no file is not waited for.

use std::{fs, process::Command, time::Duration};

use super::{Sources, Unreadable};

#[test]
fn a_pipe_or_device_among_the_files_is_refused_at_once() {
    let site = tempfile::tempdir().unwrap();
    fs::create_dir(site.path().join("routes")).unwrap();
    fs::write(site.path().join("banyan.toml"), "").unwrap();
    let made = Command::new("mkfifo")
        .arg(site.path().join("routes/pipe.toml"))
        .status()
        .unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("/dev/zero", site.path().join("routes/zero.toml")).unwrap();
    let (told, heard) = std::sync::mpsc::channel();
    let path = site.path().to_owned();
    std::thread::spawn(move || told.send(Sources::read(&path)));
    let sources = heard
        .recv_timeout(Duration::from_secs(10))
        .expect("reading waits for a writer");
    let refused: Vec<&str> = sources.unreadable().map(|(file, _)| file).collect();
    assert_eq!(refused, ["routes/pipe.toml", "routes/zero.toml"]);
    assert!(
        sources
            .unreadable()
            .all(|(_, why)| matches!(why, Unreadable::Refused(_)))
    );
}
