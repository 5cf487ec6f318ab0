//! What systemd passes to the program, and is told by it.

use std::{
    fs,
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    client::{self, Http, Raw, Wire, until},
    handover::{Generation, HANDOVER, patient, signal},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_systemd_are_served_with_who_waits_there_already() {
    let (https, private) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let [https_at, private_at] = [&https, &private].map(|socket| socket.local_addr().unwrap());
    let (site, _go) = patient();
    let site = site
        .top("cores = 2")
        .listen(&format!(
            "https = [\"{https_at}\"]\nprivate = [\"{private_at}\"]\n"
        ))
        .operator(HANDOVER);
    let config = site.write();
    let mut early = Raw {
        wire: Wire::Tcp(client::tcp(private_at).await),
    };
    early
        .send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    // what systemd does: descriptors from 3 on
    let pass = "exec 3<&0 4<&1 </dev/null >/dev/null; export LISTEN_FDS=2 LISTEN_PID=$$; exec \"$@\"";
    let mut command = Command::new("bash");
    command
        .args([
            "-c",
            pass,
            "bash",
            env!("CARGO_BIN_EXE_banyan"),
            "run",
            "--config",
        ])
        .arg(&config)
        .stdin(Stdio::from(OwnedFd::from(https)))
        .stdout(Stdio::from(OwnedFd::from(private)));
    let mut now = Generation::spawn(&mut command, &config);
    drop(command); // it has the sockets as well
    now.serves().await;
    assert!(early.rest().await.ends_with("done"));
    for _ in 0..10 {
        assert_eq!(now.client(Http::Two).await.get("/").await.text(), "done");
        assert_eq!(now.private().await.get("/").await.text(), "done");
    }
    // and they pass on like any other
    let next = Generation::start(&config).await;
    assert_eq!(now.ended().await, Some(0));
    assert_eq!(next.client(Http::One).await.get("/").await.text(), "done");
}

/// A process that is nobody's child here. Killed when dropped.
struct Stray(u32);

impl Stray {
    fn is_there(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        stat.rsplit_once(')')
            .is_some_and(|(_, state)| !state.trim_start().starts_with('Z'))
    }
}

impl Drop for Stray {
    fn drop(&mut self) {
        if self.is_there() {
            signal(self.0, "KILL");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_is_told_who_serves() {
    let (site, _go) = patient();
    let site = site.operator(HANDOVER);
    let config = site.write();
    let told = UnixDatagram::bind(config.with_file_name("notify")).unwrap();
    told.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let next = || {
        let mut bytes = [0; 512];
        let read = told.recv(&mut bytes).expect("a message");
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    };
    let mut command = Generation::command(&config);
    command.env("NOTIFY_SOCKET", config.with_file_name("notify"));
    let mut first = Generation::spawn(&mut command, &config);
    let ready = next();
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert!(
        ready.contains(&format!("\nMAINPID={}\n", first.child.id())),
        "{ready}"
    );
    let before = banyan::clock::monotonic_micros();
    first.signal("HUP");
    let reloading = next();
    let at = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .expect(&reloading);
    assert!((before..=banyan::clock::monotonic_micros()).contains(&at.parse().unwrap()));
    assert_eq!(next(), "READY=1");
    first.signal("USR2");
    let main = next();
    let second: u32 = main.strip_prefix("MAINPID=").expect(&main).parse().unwrap();
    let second = Stray(second);
    assert_ne!(second.0, first.child.id());
    let ready = next();
    assert!(
        ready.contains(&format!("\nMAINPID={}\n", second.0)) && ready.ends_with("generation 2"),
        "{ready}"
    );
    assert_eq!(first.ended().await, Some(0));
    signal(second.0, "TERM");
    assert!(
        next().starts_with("STOPPING=1"),
        "the first said nothing of its end"
    );
    until("its end", async || !second.is_there()).await;
}
