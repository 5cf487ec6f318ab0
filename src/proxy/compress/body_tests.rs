//! The body that compresses: nothing is held back, nothing broken looks whole, nobody is kept waiting.

use std::{
    cell::Cell,
    collections::VecDeque,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as _, Frame};

use super::{Compressed, TURN_BYTES};
use crate::{
    body::{Body, BodyError},
    observe::{self, metrics::Family},
    policy::compress::Encoding,
    proxy::compress::{
        encoder::{Encoder, tests::decode},
        place::Places,
    },
};

/// What a backend does next.
enum Step {
    Sends(Vec<u8>),
    Pauses,
    Trails,
    Breaks,
}

struct Script(VecDeque<Step>);

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(match self.0.pop_front() {
            None => None,
            Some(Step::Sends(bytes)) => Some(Ok(Frame::data(bytes.into()))),
            Some(Step::Breaks) => Some(Err(BodyError::Incomplete)),
            Some(Step::Trails) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-checksum", HeaderValue::from_static("1"));
                trailers.insert("repr-digest", HeaderValue::from_static("sha-256=:abc=:"));
                Some(Ok(Frame::trailers(trailers)))
            }
            Some(Step::Pauses) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    }
}

struct World {
    places: Places,
    observe: Rc<observe::Core>,
}

impl World {
    fn new() -> Self {
        Self {
            places: Places::default(),
            observe: Rc::new(observe::Core::new(None)),
        }
    }

    fn body(&self, encoding: Encoding, steps: impl IntoIterator<Item = Step>) -> Body {
        let inner = Body::Wrapped(Box::pin(Script(steps.into_iter().collect())));
        let place = self.places.take(9, encoding, &self.observe).unwrap();
        Compressed::body(inner, Encoder::new(encoding, None).unwrap(), place)
    }

    fn number(&self, family: Family, encoding: Encoding) -> i64 {
        self.observe.tally().totals().number(family, &[encoding.as_str()])
    }
}

/// All data of a body, and what followed it.
async fn collect(mut body: Body) -> (Vec<u8>, Option<HeaderMap>) {
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.unwrap().into_data() {
            Ok(bytes) => data.extend_from_slice(&bytes),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    assert!(body.is_end_stream());
    (data, trailers)
}

#[tokio::test]
async fn everything_arrives_and_trailers_pass_but_for_digests() {
    let world = World::new();
    for encoding in Encoding::ALL {
        let steps = [
            Step::Sends(vec![b'a'; 100_000]),
            Step::Sends(Vec::new()),
            Step::Pauses,
            Step::Sends((0..=255).cycle().take(70_000).collect()),
            Step::Trails,
        ];
        let (data, trailers) = collect(world.body(encoding, steps)).await;
        let mut whole = vec![b'a'; 100_000];
        whole.extend((0..=255).cycle().take(70_000));
        assert!(decode(encoding, &data) == (whole, true), "{encoding:?}");
        let names: Vec<_> = trailers
            .as_ref()
            .unwrap()
            .keys()
            .map(http::HeaderName::as_str)
            .collect();
        assert_eq!(names, ["x-checksum"]);
        assert_eq!(world.number(Family::Compressing, encoding), 0);
        assert_eq!(world.number(Family::CompressionTaken, encoding), 170_000);
        assert_eq!(
            world.number(Family::CompressionGiven, encoding),
            data.len() as i64
        );
    }
}

#[tokio::test]
async fn what_came_before_a_pause_can_be_read_during_it() {
    let world = World::new();
    for encoding in Encoding::ALL {
        let steps = [
            Step::Sends(b"first".to_vec()),
            Step::Sends(b" words".to_vec()),
            Step::Pauses,
            Step::Pauses,
            Step::Sends(b" and more".to_vec()),
        ];
        let mut body = world.body(encoding, steps);
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(
            decode(encoding, &first),
            (b"first words".to_vec(), false),
            "{encoding:?}"
        );
        let (rest, _) = collect(body).await;
        let all = [first.as_ref(), &rest].concat();
        assert_eq!(decode(encoding, &all), (b"first words and more".to_vec(), true));
    }
}

#[tokio::test]
async fn a_body_that_breaks_ends_in_its_error_and_frees_its_place() {
    let world = World::new();
    for encoding in Encoding::ALL {
        let mut body = world.body(
            encoding,
            [Step::Sends(vec![b'a'; 5_000]), Step::Pauses, Step::Breaks],
        );
        assert!(body.frame().await.unwrap().is_ok());
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(error, BodyError::Incomplete), "{error}");
        assert_eq!(
            world.number(Family::Compressing, encoding),
            0,
            "freed before it is dropped"
        );
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test]
async fn an_encoder_that_fails_ends_the_body_in_an_error() {
    let world = World::new();
    let inner = Body::full("less than was told");
    let place = world.places.take(9, Encoding::Zstd, &world.observe).unwrap();
    let encoder = Encoder::new(Encoding::Zstd, Some(1_000)).unwrap();
    let mut body = Compressed::body(inner, encoder, place);
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, BodyError::Encoder("zstd")), "{error}");
}

#[tokio::test]
async fn a_body_without_a_byte_is_still_a_whole_one() {
    let world = World::new();
    for encoding in Encoding::ALL {
        let (data, _) = collect(world.body(encoding, [])).await;
        assert!(!data.is_empty(), "{encoding:?}");
        assert_eq!(decode(encoding, &data), (Vec::new(), true), "{encoding:?}");
    }
}

#[tokio::test]
async fn a_large_body_that_is_all_there_gives_others_their_turns() {
    let world = World::new();
    let local = tokio::task::LocalSet::new();
    let size = 64 * TURN_BYTES;
    let others = Rc::new(Cell::new(0));
    let counting = Rc::clone(&others);
    let body = world.body(Encoding::Gzip, (0..4).map(|_| Step::Sends(vec![b'a'; size / 4])));
    local
        .run_until(async move {
            let other = tokio::task::spawn_local(async move {
                loop {
                    counting.set(counting.get() + 1);
                    tokio::task::yield_now().await;
                }
            });
            let (data, _) = collect(body).await;
            assert_eq!(decode(Encoding::Gzip, &data).0.len(), size);
            other.abort();
        })
        .await;
    assert!(others.get() >= 60, "others had {} turns", others.get());
}
