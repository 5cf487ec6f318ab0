//! The legacy application: one server renders the whole site, as it was built years ago.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::time;

use super::{
    courses::{self, COURSES, Course},
    page::{cart, change_cart, counted, each, escaped, served, stars},
    server::{Asked, Reply, Replying, asset, healthy, html, reply, stream_of},
    websocket,
};

/// Longest wait that `/slow?ms=` grants, in milliseconds.
const SLOW_MS_MAX: u64 = 60_000;
/// Bytes per piece of `/bytes?count=`.
const PIECE: u64 = 16 * 1024;
/// What a piece is made of.
static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// Answers one request.
pub(super) fn answer(asked: Asked) -> Replying {
    Box::pin(async move {
        let path = asked.path().to_owned();
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match (asked.request.method(), segments.as_slice()) {
            (&Method::POST, ["cart", "add" | "remove"]) => change_cart(asked).await,
            (_, ["echo"]) => echo(asked).await,
            (_, ["ws"]) => websocket::echo(asked),
            (&Method::GET | &Method::HEAD, segments) => show(&asked, segments).await,
            _ => not_found(&asked),
        }
    })
}

async fn show(asked: &Asked, segments: &[&str]) -> Reply {
    match segments {
        [] => home(asked),
        ["courses"] => list(asked),
        ["courses", slug] => {
            courses::find(slug).map_or_else(|| not_found(asked), |course| about(asked, course))
        }
        ["courses", slug, "reviews"] => {
            courses::find(slug).map_or_else(|| not_found(asked), |course| reviews(asked, course))
        }
        ["cart"] => show_cart(asked),
        ["live"] => live(asked),
        ["healthz"] => healthy(),
        ["events"] => events(),
        ["slow"] => slow(asked).await,
        ["bytes"] => bytes(asked),
        ["static", "legacy.css"] => asset("text/css; charset=utf-8", include_str!("assets/legacy.css")),
        ["static", "live.js"] => asset("text/javascript; charset=utf-8", include_str!("assets/live.js")),
        _ => not_found(asked),
    }
}

fn page(asked: &Asked, status: StatusCode, title: &str, content: &str) -> Reply {
    let here = asked.path();
    let current = |path: &str| {
        if here == path {
            r#" aria-current="page""#
        } else {
            ""
        }
    };
    let menu = each(
        [
            ("/", "Home"),
            ("/courses", "Courses"),
            ("/shop", "Shop"),
            ("/live", "Live"),
            ("/cart", "Cart"),
        ],
        |(path, name)| format!(r#"<li><a href="{path}"{}>{name}</a></li>"#, current(path)),
    );
    let count = cart(asked).len();
    let text = format!(
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - Fig Tree Academy</title>
<link rel="stylesheet" href="/static/legacy.css">
<link rel="icon" href="data:,">
</head>
<body>
<a class="skip" href="#content">Skip to content</a>
<div id="page">
<header><a class="brand" href="/">Fig Tree Academy</a><p>Online courses since 2009</p></header>
<nav aria-label="Main"><ul>{menu}</ul><span class="count">{count} in cart</span></nav>
<main id="content">
{content}
</main>
<footer>&copy; 2009-2026 Fig Tree Academy, a demo of Banyan</footer>
</div>
{served}
</body>
</html>
"##,
        served = served(asked, "legacy"),
    );
    html(status, text)
}

fn home(asked: &Asked) -> Reply {
    page(
        asked,
        StatusCode::OK,
        "Welcome",
        r#"<h1>Welcome!</h1>
<p>This is the old site. It renders every page on one server, and it has done so for a long time.
Behind the same address, squads are replacing it piece by piece. Walk around and watch the line at the foot of each page.</p>
<h2>Where to go</h2>
<table>
<thead><tr><th scope="col">Page</th><th scope="col">Who serves it</th></tr></thead>
<tbody>
<tr><td><a href="/courses">All courses</a></td><td>legacy, nobody has claimed it yet</td></tr>
<tr><td><a href="/courses/rust">A course</a></td><td>squad learn, moved for everyone</td></tr>
<tr><td><a href="/courses/rust/reviews">Its reviews</a></td><td>legacy or learn: the flag <code>course-reviews</code> decides</td></tr>
<tr><td><a href="/cart">Cart</a></td><td>legacy or shop: the flag <code>new-cart</code> decides</td></tr>
<tr><td><a href="/shop">Shop</a></td><td>squad shop, new and only new</td></tr>
<tr><td><a href="/live">Live</a></td><td>legacy: a WebSocket and server-sent events</td></tr>
</tbody>
</table>
<h2>What to try</h2>
<ol>
<li>Reload the <a href="/courses/rust/reviews">reviews</a>: you stay on your side. A private window is another visitor, and <a href="/courses/rust/reviews?preview=new">a preview link</a> shows the new page to anyone.</li>
<li>Set <code>new = 100.0</code> in <code>flags/course-reviews.toml</code> and reload. Then <code>state = "disabled"</code>.</li>
<li>Ask why: <code>banyan explain https://localhost:8443/courses/rust/reviews</code></li>
</ol>"#,
    )
}

fn list(asked: &Asked) -> Reply {
    let rows = each(COURSES, |course| {
        format!(
            r#"<tr><td><a href="/courses/{slug}">{title}</a><br><small>{teacher}</small></td><td>{level}</td><td class="number">{hours}&nbsp;h</td><td>{stars}</td><td class="number">&euro;&nbsp;{price}</td></tr>"#,
            slug = course.slug,
            title = course.title,
            teacher = course.teacher,
            level = course.level,
            hours = course.hours,
            stars = stars(course.stars_tenths()),
            price = course.price,
        )
    });
    page(
        asked,
        StatusCode::OK,
        "Courses",
        &format!(
            r#"<h1>All courses</h1>
<div class="wide"><table>
<thead><tr><th scope="col">Course</th><th scope="col">Level</th><th scope="col">Length</th><th scope="col">Stars</th><th scope="col">Price</th></tr></thead>
<tbody>{rows}</tbody>
</table></div>"#
        ),
    )
}

fn about(asked: &Asked, course: &Course) -> Reply {
    let lessons = each(course.lessons, |lesson| format!("<li>{lesson}</li>"));
    page(
        asked,
        StatusCode::OK,
        course.title,
        &format!(
            r#"<h1>{title}</h1>
{tabs}
<p>{summary}</p>
<p>{level}, {hours} hours, taught by {teacher}.</p>
<h2>Lessons</h2>
<ol>{lessons}</ol>
{buy}"#,
            title = course.title,
            tabs = tabs(course, "about"),
            summary = course.summary,
            level = course.level,
            hours = course.hours,
            teacher = course.teacher,
            buy = buy(course),
        ),
    )
}

fn reviews(asked: &Asked, course: &Course) -> Reply {
    let rows = each(course.reviews, |review| {
        format!(
            r"<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            review.by,
            stars(u32::from(review.stars) * 10),
            review.text
        )
    });
    page(
        asked,
        StatusCode::OK,
        &format!("Reviews of {}", course.title),
        &format!(
            r#"<h1>{title}</h1>
{tabs}
<p>{stars} from {count}.</p>
<table>
<thead><tr><th scope="col">Student</th><th scope="col">Stars</th><th scope="col">Review</th></tr></thead>
<tbody>{rows}</tbody>
</table>
{buy}"#,
            title = course.title,
            tabs = tabs(course, "reviews"),
            stars = stars(course.stars_tenths()),
            count = counted(course.reviews.len(), "student"),
            buy = buy(course),
        ),
    )
}

fn tabs(course: &Course, here: &str) -> String {
    let slug = course.slug;
    let current = |name: &str| {
        if here == name {
            r#" aria-current="page""#
        } else {
            ""
        }
    };
    format!(
        r#"<ul class="tabs"><li><a href="/courses/{slug}"{}>About</a></li><li><a href="/courses/{slug}/reviews"{}>Reviews</a></li></ul>"#,
        current("about"),
        current("reviews"),
    )
}

fn buy(course: &Course) -> String {
    format!(
        r#"<form method="post" action="/cart/add"><input type="hidden" name="course" value="{}"><button>Add to cart (&euro;&nbsp;{})</button></form>"#,
        course.slug, course.price
    )
}

fn show_cart(asked: &Asked) -> Reply {
    let items = cart(asked);
    let sum: u32 = items.iter().map(|course| course.price).sum();
    let rows = each(&items, |course| {
        format!(
            r#"<tr><td><a href="/courses/{slug}">{title}</a></td><td class="number">&euro;&nbsp;{price}</td><td><form method="post" action="/cart/remove"><input type="hidden" name="course" value="{slug}"><button aria-label="Remove {title}">Remove</button></form></td></tr>"#,
            slug = course.slug,
            title = course.title,
            price = course.price,
        )
    });
    let content = if items.is_empty() {
        r#"<h1>Your cart</h1><p>There is nothing in it. <a href="/courses">Choose a course</a>.</p>"#
            .to_owned()
    } else {
        format!(
            r#"<h1>Your cart</h1>
<table>
<thead><tr><th scope="col">Course</th><th scope="col">Price</th><th scope="col"></th></tr></thead>
<tbody>{rows}<tr class="sum"><td>Sum</td><td class="number">&euro;&nbsp;{sum}</td><td></td></tr></tbody>
</table>"#
        )
    };
    page(asked, StatusCode::OK, "Cart", &content)
}

fn live(asked: &Asked) -> Reply {
    page(
        asked,
        StatusCode::OK,
        "Live",
        r#"<h1>Live</h1>
<p>Two things that a proxy likes to break. Both go on while routes and flags change.</p>
<h2>Server-sent events</h2>
<p>The server counts: <output id="count">not connected</output></p>
<h2>WebSocket</h2>
<form id="talk"><label>Say something <input name="text" autocomplete="off" value="hello"></label> <button>Send</button></form>
<ul id="said" aria-live="polite"></ul>
<script src="/static/live.js" defer></script>"#,
    )
}

fn not_found(asked: &Asked) -> Reply {
    let path = escaped(asked.path());
    page(
        asked,
        StatusCode::NOT_FOUND,
        "Not found",
        &format!(r#"<h1>Not found</h1><p>There is no page <code>{path}</code>. <a href="/">Home</a></p>"#),
    )
}

/// `/events`: a count, every second.
fn events() -> Reply {
    stream_of("text/event-stream", |at| async move {
        if at > 0 {
            time::sleep(Duration::from_secs(1)).await;
        }
        Some(Bytes::from(format!("id: {at}\ndata: {at}\n\n")))
    })
}

/// `/slow?ms=500`: waits before it answers.
async fn slow(asked: &Asked) -> Reply {
    let ms = asked
        .query("ms")
        .and_then(|text| text.parse().ok())
        .unwrap_or(1000_u64)
        .min(SLOW_MS_MAX);
    time::sleep(Duration::from_millis(ms)).await;
    reply(
        StatusCode::OK,
        "text/plain; charset=utf-8",
        format!("after {ms} ms\n"),
    )
}

/// `/bytes?count=1000000`: that many zeros, never all in memory.
fn bytes(asked: &Asked) -> Reply {
    let count: u64 = asked
        .query("count")
        .and_then(|text| text.parse().ok())
        .unwrap_or(PIECE);
    stream_of("application/octet-stream", move |at| {
        let left = count.saturating_sub(at.saturating_mul(PIECE)).min(PIECE);
        let piece = usize::try_from(left).ok().and_then(|left| ZEROS.get(..left));
        std::future::ready(piece.filter(|piece| !piece.is_empty()).map(Bytes::from_static))
    })
}

/// `/echo`: the request as the server saw it.
async fn echo(asked: Asked) -> Reply {
    let (head, mut body) = asked.request.into_parts();
    let mut body_bytes = 0_usize;
    while let Some(Ok(frame)) = body.frame().await {
        body_bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let seen = json!({
        "method": head.method.as_str(),
        "target": head.uri.path_and_query().map(http::uri::PathAndQuery::as_str),
        "version": format!("{:?}", head.version),
        "headers": headers,
        "body_bytes": body_bytes,
    });
    reply(StatusCode::OK, "application/json", format!("{seen:#}\n"))
}
