//! Squad shop: the new cart, and the shop's own pages under `/shop/`.

use http::{Method, StatusCode};

use super::{
    courses::COURSES,
    page::{cart, change_cart, each, escaped, served},
    server::{Asked, Reply, Replying, asset, healthy, html},
};

/// Answers one request.
pub(super) fn answer(asked: Asked) -> Replying {
    Box::pin(async move {
        let path = asked.path().to_owned();
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match (asked.request.method(), segments.as_slice()) {
            (&Method::POST, ["cart", "add" | "remove"]) => change_cart(asked).await,
            (&Method::GET | &Method::HEAD, ["shop"]) => offers(&asked),
            (&Method::GET | &Method::HEAD, ["cart"]) => show_cart(&asked),
            (&Method::GET | &Method::HEAD, ["shop", "app.css"]) => {
                asset("text/css; charset=utf-8", include_str!("assets/shop.css"))
            }
            (&Method::GET | &Method::HEAD, ["healthz"]) => healthy(),
            _ => not_found(&asked),
        }
    })
}

fn page(asked: &Asked, status: StatusCode, title: &str, content: &str) -> Reply {
    let text = format!(
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Fig Tree Shop</title>
<link rel="stylesheet" href="/shop/app.css">
<link rel="icon" href="data:,">
</head>
<body>
<a class="skip" href="#content">Skip to content</a>
<header class="top"><a class="brand" href="/shop">Fig Tree <em>Shop</em></a><nav aria-label="Main"><a href="/">Academy</a><a href="/courses">Courses</a><a href="/cart">Cart <span class="badge">{count}</span></a></nav></header>
<main id="content">
{content}
</main>
{served}
</body>
</html>
"##,
        count = cart(asked).len(),
        served = served(asked, "shop, new"),
    );
    html(status, text)
}

fn offers(asked: &Asked) -> Reply {
    let rows = each(COURSES, |course| {
        format!(
            r#"<li><div><a href="/courses/{slug}">{title}</a><span class="quiet">{hours} hours with {teacher}</span></div><span class="price">€{price}</span><form method="post" action="/cart/add"><input type="hidden" name="course" value="{slug}"><button aria-label="Add {title} to the cart">Add</button></form></li>"#,
            slug = course.slug,
            title = course.title,
            hours = course.hours,
            teacher = course.teacher,
            price = course.price,
        )
    });
    let content = format!(r#"<h1>Everything we sell</h1><ul class="lines">{rows}</ul>"#);
    page(asked, StatusCode::OK, "Shop", &content)
}

fn show_cart(asked: &Asked) -> Reply {
    let items = cart(asked);
    if items.is_empty() {
        let content = r#"<h1>Your cart</h1><div class="empty"><p>Nothing here yet.</p><p><a class="button" href="/shop">Choose a course</a></p></div>"#;
        return page(asked, StatusCode::OK, "Cart", content);
    }
    let sum: u32 = items.iter().map(|course| course.price).sum();
    let rows = each(&items, |course| {
        format!(
            r#"<li><div><a href="/courses/{slug}">{title}</a><span class="quiet">{hours} hours with {teacher}</span></div><span class="price">€{price}</span><form method="post" action="/cart/remove"><input type="hidden" name="course" value="{slug}"><button class="plain" aria-label="Remove {title}">Remove</button></form></li>"#,
            slug = course.slug,
            title = course.title,
            hours = course.hours,
            teacher = course.teacher,
            price = course.price,
        )
    });
    let content = format!(
        r#"<h1>Your cart</h1><ul class="lines">{rows}</ul><p class="sum"><span>Together</span><b>€{sum}</b></p><p class="quiet">The demo ends here: nothing can be paid.</p>"#
    );
    page(asked, StatusCode::OK, "Cart", &content)
}

fn not_found(asked: &Asked) -> Reply {
    let content = format!(
        r#"<h1>Not on the shelf</h1><p>There is no page <code>{}</code>. <a href="/shop">Shop</a></p>"#,
        escaped(asked.path())
    );
    page(asked, StatusCode::NOT_FOUND, "Not found", &content)
}
