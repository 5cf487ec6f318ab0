//! Clients that go away, fully or by half, and what becomes of their requests.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::world::{World, run};

async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_half_closed_client_gets_its_quick_answer() {
    run(async {
        let mut world = World::new();
        world.say("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
        world.client.shutdown().await.unwrap();
        let heard = world.hear_all().await;
        assert!(heard.ends_with("slow"), "{heard}");
        assert!(heard.contains("connection: close"), "{heard}");
        assert_eq!(world.seen.cancelled.get(), 0);
    });
}

#[test]
fn a_half_closed_client_does_not_hold_a_request_for_long() {
    run(async {
        let mut world = World::new();
        world.say("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
        world.client.shutdown().await.unwrap();
        let began = crate::http1::timer::now();
        assert_eq!(world.hear_all().await, "");
        assert_eq!(began.elapsed(), super::HALF_CLOSE_GRACE);
        assert_eq!(world.seen.cancelled.get(), 1);
    });
}

#[test]
fn a_silent_answer_to_a_half_closed_client_ends() {
    run(async {
        let mut world = World::new();
        world.say("GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n").await;
        world.hear_until("\r\n\r\n").await;
        world.client.shutdown().await.unwrap();
        let began = crate::http1::timer::now();
        assert_eq!(world.hear_all().await, "");
        assert_eq!(began.elapsed(), super::HALF_CLOSE_SILENCE);
    });
}

#[test]
fn a_client_that_is_gone_cancels_its_answer() {
    run(async {
        let mut world = World::new();
        world
            .say("GET /bytes?100000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            .await;
        world.hear_until("\r\n\r\n").await;
        drop(world.client);
        tokio::time::timeout(Duration::from_millis(1), &mut world.server)
            .await
            .unwrap()
            .unwrap();
    });
}

#[tokio::test]
async fn a_reset_cancels_the_service_at_once() {
    use std::rc::Rc;

    use super::world::TestService;
    use crate::{limits::Limits, stream::Stream, wire::Drain};

    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let (server, _) = listener.accept().await.unwrap();
            let service = TestService::default();
            let seen = Rc::clone(&service.0);
            let (_phase, drain) = Drain::channel();
            client
                .write_all(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
                .await
                .unwrap();
            let serving = tokio::task::spawn_local(async move {
                super::serve(Stream::Tcp(server), &service, &Limits::default(), drain).await;
            });
            settle().await;
            socket2::SockRef::from(&client)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            drop(client);
            serving.await.unwrap();
            assert_eq!(seen.cancelled.get(), 1);
        })
        .await;
}
