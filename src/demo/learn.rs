//! Squad learn: the new course pages, their assets under `/_learn/`, and the courses as JSON.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    courses::{self, COURSES, Course},
    page::{cart, counted, each, escaped, served, stars},
    server::{Asked, Reply, Replying, asset, healthy, html, reply},
};

/// Answers one request.
pub(super) fn answer(asked: Asked) -> Replying {
    Box::pin(async move {
        let path = asked.path().to_owned();
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if !matches!(*asked.request.method(), Method::GET | Method::HEAD) {
            return not_found(&asked);
        }
        let course = |slug: &str, show: fn(&Asked, &Course) -> Reply| {
            courses::find(slug).map_or_else(|| not_found(&asked), |course| show(&asked, course))
        };
        match segments.as_slice() {
            ["courses"] => list(&asked),
            ["courses", slug] => course(slug, about),
            ["courses", slug, "reviews"] => course(slug, reviews),
            ["api", "courses"] => api(&COURSES.iter().map(as_json).collect()),
            ["api", "courses", slug] => match courses::find(slug) {
                Some(course) => api(&as_json(course)),
                None => reply(
                    StatusCode::NOT_FOUND,
                    "application/json",
                    "{\"error\":\"no such course\"}\n",
                ),
            },
            ["_learn", "app.css"] => asset("text/css; charset=utf-8", include_str!("assets/learn.css")),
            ["_learn", "app.js"] => asset("text/javascript; charset=utf-8", include_str!("assets/learn.js")),
            ["healthz"] => healthy(),
            _ => not_found(&asked),
        }
    })
}

fn page(asked: &Asked, status: StatusCode, title: &str, content: &str) -> Reply {
    let count = cart(asked).len();
    let text = format!(
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Fig Tree Academy</title>
<link rel="stylesheet" href="/_learn/app.css">
<script src="/_learn/app.js" defer></script>
<link rel="icon" href="data:,">
</head>
<body>
<a class="skip" href="#content">Skip to content</a>
<header class="top">
<a class="brand" href="/"><svg viewBox="0 0 24 24" width="26" height="26" aria-hidden="true"><path fill="currentColor" d="M12 2c5 0 9 3 9 7 0 3-2 5-5 6v7h-2v-6h-1v6h-2v-6h-1v6H8v-7c-3-1-5-3-5-6 0-4 4-7 9-7z"/></svg>Fig Tree Academy</a>
<nav aria-label="Main"><a href="/courses">Courses</a><a href="/shop">Shop</a><a href="/cart">Cart <span class="badge">{count}</span></a></nav>
</header>
<main id="content">
{content}
</main>
{served}
</body>
</html>
"##,
        served = served(asked, "learn, new"),
    );
    html(status, text)
}

fn hero(course: &Course, here: &str) -> String {
    let slug = course.slug;
    let current = |name: &str| {
        if here == name {
            r#" aria-current="page""#
        } else {
            ""
        }
    };
    format!(
        r#"<section class="hero">
<p class="eyebrow">{level} · {hours} hours · {teacher}</p>
<h1>{title}</h1>
<p class="lead">{summary}</p>
<div class="act"><form method="post" action="/cart/add"><input type="hidden" name="course" value="{slug}"><button>Add to cart · €{price}</button></form>{stars}<span class="quiet">{count}</span></div>
</section>
<nav class="tabs" aria-label="Course"><a href="/courses/{slug}"{about}>About</a><a href="/courses/{slug}/reviews"{reviews}>Reviews</a></nav>"#,
        level = course.level,
        hours = course.hours,
        teacher = course.teacher,
        title = course.title,
        summary = course.summary,
        price = course.price,
        stars = stars(course.stars_tenths()),
        count = counted(course.reviews.len(), "review"),
        about = current("about"),
        reviews = current("reviews"),
    )
}

fn about(asked: &Asked, course: &Course) -> Reply {
    let lessons = each(course.lessons, |lesson| format!("<li>{lesson}</li>"));
    let content = format!(
        r#"{hero}
<section aria-labelledby="lessons"><h2 id="lessons">What you will do</h2><ol class="lessons">{lessons}</ol></section>
<section aria-labelledby="more"><h2 id="more">More like this</h2><div class="cards" data-more="{slug}"><p class="quiet"><a href="/courses">All courses</a></p></div></section>"#,
        hero = hero(course, "about"),
        slug = course.slug,
    );
    page(asked, StatusCode::OK, course.title, &content)
}

fn reviews(asked: &Asked, course: &Course) -> Reply {
    let quotes = each(course.reviews, |review| {
        format!(
            r#"<figure class="card">{}<blockquote>{}</blockquote><figcaption>{}</figcaption></figure>"#,
            stars(u32::from(review.stars) * 10),
            review.text,
            review.by,
        )
    });
    let content = format!(
        r#"{hero}
<section aria-labelledby="said"><h2 id="said">What students say</h2><div class="cards">{quotes}</div></section>"#,
        hero = hero(course, "reviews"),
    );
    page(
        asked,
        StatusCode::OK,
        &format!("Reviews · {}", course.title),
        &content,
    )
}

fn list(asked: &Asked) -> Reply {
    let cards = each(COURSES, |course| {
        format!(
            r#"<a class="card" href="/courses/{slug}"><b>{title}</b><span>{summary}</span><span class="quiet">{level} · {hours} hours · €{price}</span></a>"#,
            slug = course.slug,
            title = course.title,
            summary = course.summary,
            level = course.level,
            hours = course.hours,
            price = course.price,
        )
    });
    let content = format!(r#"<h1>Courses</h1><div class="cards">{cards}</div>"#);
    page(asked, StatusCode::OK, "Courses", &content)
}

fn not_found(asked: &Asked) -> Reply {
    let content = format!(
        r#"<h1>Nothing here</h1><p class="lead">There is no page <code>{}</code>.</p><p><a href="/courses">All courses</a></p>"#,
        escaped(asked.path())
    );
    page(asked, StatusCode::NOT_FOUND, "Not found", &content)
}

fn as_json(course: &Course) -> Value {
    json!({
        "slug": course.slug,
        "title": course.title,
        "summary": course.summary,
        "level": course.level,
        "hours": course.hours,
        "price": course.price,
        "reviews": course.reviews.len(),
    })
}

fn api(value: &Value) -> Reply {
    reply(StatusCode::OK, "application/json", format!("{value}\n"))
}
