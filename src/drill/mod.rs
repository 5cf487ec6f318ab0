//! Drills: faults that are put in on purpose, for a while, into some requests of a route. Pure: who is met is decided by what comes in.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{clock::UnixTime, fields::Fields};

/// Drills at one time.
pub const DRILLS_MAX: usize = 8;
/// How long a drill lasts unless said otherwise.
pub const FOR_DEFAULT: Duration = Duration::from_secs(300);
/// The longest that a drill may last.
pub const FOR_MAX: Duration = Duration::from_secs(3600);
/// The longest that a request is delayed.
pub const DELAY_MAX: Duration = Duration::from_secs(30);
/// The most bytes that may pass before a cut, and in a second of a throttled answer.
pub const BYTES_MAX: u64 = 1 << 30;
/// All requests, in thousandths of a percent.
pub const SHARE_MAX: u32 = 100_000;

/// What is done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It waits before it is sent.
    Delay(Duration),
    /// It is answered with this status, 400 to 599, and not sent.
    Abort(u16),
    /// Its answer breaks off after so many bytes of the body.
    Cut(u64),
    /// Its answer's body comes with so many bytes a second.
    Throttle(u64),
}

impl What {
    /// The word for logs and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::Abort(_) => "abort",
            Self::Cut(_) => "cut",
            Self::Throttle(_) => "throttle",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(time) => write!(f, "delay={}ms", time.as_millis()),
            Self::Abort(status) => write!(f, "abort={status}"),
            Self::Cut(bytes) => write!(f, "cut={bytes}B"),
            Self::Throttle(bytes) => write!(f, "throttle={bytes}B"),
        }
    }
}

/// A text that says no fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "say what is done as `delay=2s` (at most 30s), `abort=503` (400 to 599), `cut=16KiB` (of the answer) or `throttle=10KiB` (a second; \
     both at most 1GiB)"
)]
pub struct BadWhat;

impl FromStr for What {
    type Err = BadWhat;

    fn from_str(text: &str) -> Result<Self, BadWhat> {
        let (word, value) = text.split_once('=').ok_or(BadWhat)?;
        match word {
            "delay" => duration(value)
                .filter(|time| !time.is_zero() && *time <= DELAY_MAX)
                .map(Self::Delay),
            "abort" => value
                .parse()
                .ok()
                .filter(|status| (400..600).contains(status))
                .map(Self::Abort),
            "cut" => bytes(value).map(Self::Cut),
            "throttle" => bytes(value).filter(|bytes| *bytes > 0).map(Self::Throttle),
            _ => None,
        }
        .ok_or(BadWhat)
    }
}

/// `250ms`, `2s`, `5m`, `1h`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(millis)?))
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let unit = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit).filter(|bytes| *bytes <= BYTES_MAX)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

/// Where a drill is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// Routes with this path or pattern, as written.
    Route(String),
    /// Requests with this path, whatever route takes them; with a last `/*` all below it, too.
    Path(String),
}

impl Where {
    /// Whether a request to `path`, which `route` took, is there.
    #[must_use]
    pub fn has(&self, route: &str, path: &str) -> bool {
        match self {
            Self::Route(name) => name == route,
            Self::Path(wanted) => match wanted.strip_suffix("/*") {
                None => wanted == path,
                Some(above) => {
                    let below = path.strip_prefix(above);
                    below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
                }
            },
        }
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(name) => write!(f, "route {name}"),
            Self::Path(path) => write!(f, "path {path}"),
        }
    }
}

/// Whom a drill meets, of those who are where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whom {
    /// The share of requests, in thousandths of a percent, up to [`SHARE_MAX`].
    pub share: u32,
    /// Only requests with this field: name in lower case, and value.
    pub header: Option<(String, String)>,
    /// Only this visitor's.
    pub visitor: Option<String>,
}

impl Whom {
    /// Whether it meets a request. `random` is any 64 random bits.
    #[must_use]
    pub fn meets(&self, headers: &Fields, visitor: Option<&str>, random: u64) -> bool {
        let chance = ((u128::from(random) * u128::from(SHARE_MAX)) >> 64) as u32;
        let by_header = |(name, value): &(String, String)| {
            let mut values = headers.get_all(name.as_str());
            values.any(|given| given.as_bytes() == value.as_bytes())
        };
        chance < self.share
            && self.header.as_ref().is_none_or(by_header)
            && self
                .visitor
                .as_deref()
                .is_none_or(|wanted| visitor == Some(wanted))
    }
}

/// Faults that are put in on purpose.
#[derive(Debug)]
pub struct Drill {
    /// Its name.
    pub id: String,
    /// Where.
    pub at: Where,
    /// What is done.
    pub what: What,
    /// To whom.
    pub whom: Whom,
    /// When it began.
    pub began: UnixTime,
    /// When it ends by itself.
    pub ends: UnixTime,
    /// Who started it.
    pub who: Arc<str>,
    /// Why.
    pub reason: String,
    met: AtomicU64,
}

/// What a drill shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Where.
    pub at: Where,
    /// What is done.
    pub what: What,
    /// To whom.
    pub whom: Whom,
    /// How long, 1 s to [`FOR_MAX`].
    pub lasts: Duration,
    /// Who starts it.
    pub who: String,
    /// Why.
    pub reason: String,
}

impl Drill {
    /// The drill that `wish` asks for, from now on.
    #[must_use]
    pub fn begin(wish: Wish, number: u64, now: UnixTime) -> Self {
        let lasts = u64::try_from(wish.lasts.min(FOR_MAX).as_millis()).unwrap_or(0);
        Self {
            id: format!("d{number}"),
            at: wish.at,
            what: wish.what,
            whom: wish.whom,
            began: now,
            ends: UnixTime {
                millis: now.millis.saturating_add(lasts),
            },
            who: wish.who.into(),
            reason: wish.reason,
            met: AtomicU64::new(0),
        }
    }

    /// Whether its time is over.
    #[must_use]
    pub fn has_ended(&self, now: UnixTime) -> bool {
        now >= self.ends
    }

    /// It met a request.
    pub fn count(&self) {
        self.met.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that it met.
    #[must_use]
    pub fn met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }
}
