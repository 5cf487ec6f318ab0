//! The works that are measured: what is asked, what is read off, and what is wanted of it.

use super::{
    browser::{LARGE, What},
    load::{Line, Told, Way},
};

/// A number that is read off a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    /// With its unit.
    pub(super) name: &'static str,
    pub(super) of: fn(&Told) -> f64,
    pub(super) goal: Goal,
}

/// What is wanted of a number.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Goal {
    /// At most this part of the best peer's.
    pub(super) best: Option<f64>,
    /// At most this part of the floor's.
    pub(super) floor: Option<f64>,
    /// At least this.
    pub(super) least: Option<f64>,
}

impl Goal {
    /// Whether anything is wanted.
    pub(super) const fn is_any(self) -> bool {
        self.best.is_some() || self.floor.is_some() || self.least.is_some()
    }
}

/// Nothing is wanted: the number is there to be read.
const NONE: Goal = Goal {
    best: None,
    floor: None,
    least: None,
};

/// A row of the comparison.
#[derive(Debug, Clone)]
pub(super) struct Work {
    /// By which it is chosen.
    pub(super) name: &'static str,
    /// What tables say.
    pub(super) title: &'static str,
    pub(super) line: Line,
    pub(super) what: What,
    pub(super) way: Way,
    pub(super) measures: &'static [Measure],
}

impl Work {
    /// Whether it is about caches: programs without one have no part in it.
    pub(super) const fn is_kept(&self) -> bool {
        matches!(self.what, What::Kept | What::KeptMiddle)
    }

    /// Whether each round needs programs that have done nothing before.
    pub(super) const fn needs_fresh(&self) -> bool {
        matches!(self.way, Way::Idle { .. })
    }

    /// Whether the backend is asked directly as well.
    pub(super) const fn has_direct(&self) -> bool {
        matches!(self.way, Way::Open { .. })
    }

    /// Whether the relay is a floor: it passes bytes on to a backend that speaks HTTP/1.1, and keeps its buffers.
    pub(super) fn has_floor(&self) -> bool {
        self.line != Line::Http2 && !self.needs_fresh() && !self.is_kept()
    }
}

fn micros_per_request(told: &Told) -> f64 {
    told.cpu_micros / told.requests as f64
}

fn micros_per_mebibyte(told: &Told) -> f64 {
    told.cpu_micros / told.requests as f64 / (LARGE as f64 / 1024.0 / 1024.0)
}

fn bytes_per_connection(told: &Told) -> f64 {
    let [before, after] = told.memory;
    after.saturating_sub(before) as f64 / told.requests as f64
}

const fn request(best: f64, floor: Option<f64>) -> [Measure; 1] {
    [Measure {
        name: "CPU µs per request",
        of: micros_per_request,
        goal: Goal {
            best: Some(best),
            floor,
            ..NONE
        },
    }]
}

const fn mebibyte(best: f64) -> [Measure; 2] {
    [
        Measure {
            name: "CPU µs per MiB",
            of: micros_per_mebibyte,
            goal: Goal {
                best: Some(best),
                ..NONE
            },
        },
        Measure {
            name: "largest memory meanwhile, MiB",
            of: |told| told.memory_peak as f64 / 1024.0 / 1024.0,
            goal: NONE,
        },
    ]
}

const fn connection(best: f64) -> [Measure; 1] {
    [Measure {
        name: "bytes per connection",
        of: bytes_per_connection,
        goal: Goal {
            best: Some(best),
            ..NONE
        },
    }]
}

const fn handshake(best: f64) -> [Measure; 2] {
    [
        request(best, None)[0],
        Measure {
            name: "resumed, of 1",
            of: |told| told.resumed_share,
            goal: NONE,
        },
    ]
}

const HTTP1: [Measure; 1] = request(0.80, Some(1.25));
const HTTP2: [Measure; 1] = request(0.95, None);
const DOWN: [Measure; 2] = mebibyte(0.80);
const UP: [Measure; 2] = mebibyte(0.90);
/// A hit costs less than anybody else's.
const HIT: [Measure; 1] = request(0.99, None);
const FULL: [Measure; 2] = handshake(0.85);
const RESUMED: [Measure; 2] = handshake(0.95);
const IDLE: [Measure; 1] = connection(0.80);
const LATENCY: [Measure; 4] = [
    latency("latency µs, 50 %", |told| told.latency[0]),
    latency("latency µs, 99 %", |told| told.latency[1]),
    latency("latency µs, 99.9 %", |told| told.latency[2]),
    Measure {
        name: "CPU µs per request",
        of: micros_per_request,
        goal: NONE,
    },
];

/// Two cores against one.
const CORES: [Measure; 4] = [
    Measure {
        name: "times one core's throughput, by CPU per request",
        of: |told| 2.0 * told.one_core[0] / micros_per_request(told),
        goal: Goal {
            least: Some(1.85),
            ..NONE
        },
    },
    Measure {
        name: "times one core's throughput, as measured",
        of: |told| told.requests as f64 / told.seconds / told.one_core[1],
        goal: NONE,
    },
    Measure {
        name: "CPU µs per request on two cores",
        of: micros_per_request,
        goal: NONE,
    },
    Measure {
        name: "the busiest thread's part",
        of: |told| told.busiest_share,
        goal: NONE,
    },
];

/// The work with which one core and two are compared.
pub(super) const TWO_CORES: Work = work(
    "cores",
    "two cores against one, TLS, HTTP/1.1, 1 KiB, 64 connections",
    (Line::Http1, What::Small, closed(64, 1)),
    &CORES,
);

const fn latency(name: &'static str, of: fn(&Told) -> f64) -> Measure {
    Measure {
        name,
        of,
        goal: Goal {
            best: Some(1.0),
            ..NONE
        },
    }
}

const fn work(
    name: &'static str,
    title: &'static str,
    (line, what, way): (Line, What, Way),
    measures: &'static [Measure],
) -> Work {
    Work {
        name,
        title,
        line,
        what,
        way,
        measures,
    }
}

const fn closed(connections: usize, streams: usize) -> Way {
    Way::Closed { connections, streams }
}

const H1: Line = Line::Http1;
const H2: Line = Line::Http2;
const FULL_EACH: Way = Way::Handshakes { resumed: false };
const RESUMED_EACH: Way = Way::Handshakes { resumed: true };

const EXCHANGES: [Work; 9] = [
    work(
        "h1",
        "TLS, HTTP/1.1, 1 KiB, 64 connections",
        (H1, What::Small, closed(64, 1)),
        &HTTP1,
    ),
    work(
        "h2",
        "TLS, HTTP/2, 1 KiB, 64 × 8 streams",
        (H2, What::Small, closed(64, 8)),
        &HTTP2,
    ),
    work(
        "plain",
        "plain HTTP/1.1, 1 KiB, 64 connections",
        (Line::Plain, What::Small, closed(64, 1)),
        &HTTP1,
    ),
    work(
        "down-h1",
        "1 MiB down, TLS, HTTP/1.1, 16 connections",
        (H1, What::Down, closed(16, 1)),
        &DOWN,
    ),
    work(
        "down-h2",
        "1 MiB down, TLS, HTTP/2, 8 × 2 streams",
        (H2, What::Down, closed(8, 2)),
        &DOWN,
    ),
    work(
        "up-h1",
        "1 MiB up, TLS, HTTP/1.1, 16 connections",
        (H1, What::Up, closed(16, 1)),
        &UP,
    ),
    work(
        "up-h2",
        "1 MiB up, TLS, HTTP/2, 8 × 2 streams",
        (H2, What::Up, closed(8, 2)),
        &UP,
    ),
    work(
        "full",
        "full TLS handshake and one request",
        (H1, What::Small, FULL_EACH),
        &FULL,
    ),
    work(
        "resumed",
        "resumed TLS handshake and one request",
        (H1, What::Small, RESUMED_EACH),
        &RESUMED,
    ),
];

/// What a cache answers.
const HITS: [Work; 6] = [
    work(
        "hit-plain",
        "from the cache: plain HTTP/1.1, 1 KiB, 64 connections",
        (Line::Plain, What::Kept, closed(64, 1)),
        &HIT,
    ),
    work(
        "hit-h1",
        "from the cache: TLS, HTTP/1.1, 1 KiB, 64 connections",
        (H1, What::Kept, closed(64, 1)),
        &HIT,
    ),
    work(
        "hit-h2",
        "from the cache: TLS, HTTP/2, 1 KiB, 64 × 8 streams",
        (H2, What::Kept, closed(64, 8)),
        &HIT,
    ),
    work(
        "hit64-plain",
        "from the cache: plain HTTP/1.1, 64 KiB, 64 connections",
        (Line::Plain, What::KeptMiddle, closed(64, 1)),
        &HIT,
    ),
    work(
        "hit64-h1",
        "from the cache: TLS, HTTP/1.1, 64 KiB, 64 connections",
        (H1, What::KeptMiddle, closed(64, 1)),
        &HIT,
    ),
    work(
        "hit64-h2",
        "from the cache: TLS, HTTP/2, 64 KiB, 16 × 2 streams",
        (H2, What::KeptMiddle, closed(16, 2)),
        &HIT,
    ),
];

/// All works that programs do on one core, at this rate of requests a second where there is one, with so many idle
/// connections.
pub(super) fn all(rate: u32, idle: usize) -> Vec<Work> {
    let open = Way::Open {
        connections: 64,
        rate,
    };
    let idle = Way::Idle { connections: idle };
    let mut all = EXCHANGES.to_vec();
    all.extend(HITS);
    all.push(work(
        "idle-h1",
        "idle TLS connections, HTTP/1.1",
        (H1, What::Small, idle),
        &IDLE,
    ));
    all.push(work(
        "idle-h2",
        "idle TLS connections, HTTP/2",
        (H2, What::Small, idle),
        &IDLE,
    ));
    all.push(work(
        "latency",
        "latency at a fixed rate, TLS, HTTP/1.1",
        (H1, What::Small, open),
        &LATENCY,
    ));
    all
}
