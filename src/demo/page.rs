//! What pages of all generations have in common: escaping, the cart cookie, and the line that says who served them.

use std::fmt::Write;

use http::{HeaderValue, header};

use super::{
    courses::{self, Course},
    server::{Asked, Reply, see_other},
};

/// The cookie with what is in the cart: slugs, joined by dots. Both carts read it, so a move loses nothing.
const CART: &str = "academy-cart";

/// `text` for HTML, also inside quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// The quiet line under every page: generation, flags as Banyan told them, and how to ask why.
pub(super) fn served(asked: &Asked, generation: &str) -> String {
    let flags = asked.header("banyan-flags");
    let told = if flags.is_empty() {
        "no flag decides here".to_owned()
    } else {
        flags.split(',').fold(String::new(), |mut all, flag| {
            let _ = write!(all, " <code>{}</code>", escaped(flag.trim()));
            all
        })
    };
    let request = match asked.header("x-request-id") {
        "" => String::new(),
        id => format!(" <span>request <code>{}</code></span>", escaped(id)),
    };
    format!(
        r#"<aside class="served" aria-label="Who served this page"><span>served by <b>{generation}</b></span> <span>{told}</span>{request}</aside>"#,
    )
}

/// What the visitor has put into the cart.
pub(super) fn cart(asked: &Asked) -> Vec<&'static Course> {
    let slugs = asked.cookie(CART).unwrap_or_default();
    slugs.split('.').filter_map(courses::find).collect()
}

/// `/cart/add` and `/cart/remove`: changes the cookie, then shows the cart.
pub(super) async fn change_cart(mut asked: Asked) -> Reply {
    let mut slugs: Vec<&str> = cart(&asked).iter().map(|course| course.slug).collect();
    let adding = asked.path().ends_with("/add");
    if let Some(course) = asked.form("course").await.as_deref().and_then(courses::find) {
        slugs.retain(|slug| *slug != course.slug);
        if adding {
            slugs.push(course.slug);
        }
    }
    let mut reply = see_other("/cart");
    let cookie = format!("{CART}={}; Path=/; SameSite=Lax; HttpOnly", slugs.join("."));
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        reply.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    reply
}

/// Stars as a picture with a name.
pub(super) fn stars(tenths: u32) -> String {
    let full = usize::try_from((tenths + 5) / 10).unwrap_or(0).min(5);
    format!(
        r#"<span class="stars" role="img" aria-label="{}.{} of 5 stars">{}{}</span>"#,
        tenths / 10,
        tenths % 10,
        "★".repeat(full),
        "☆".repeat(5 - full),
    )
}

/// Each of `items` as HTML, one after the other.
pub(super) fn each<T>(items: impl IntoIterator<Item = T>, show: impl Fn(T) -> String) -> String {
    items.into_iter().map(show).collect()
}

/// `1 review`, `2 reviews`.
pub(super) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
