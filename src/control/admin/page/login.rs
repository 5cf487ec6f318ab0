//! The page to sign in on, and to see who one is.

use super::html::Html;
use crate::{
    config::admin::{May, Reach},
    control::admin::{actor::Actor, refusal::Refusal},
};

/// What it shows.
#[derive(Debug, Default)]
pub(in crate::control::admin) struct Shown<'s> {
    /// Who is signed in.
    pub(in crate::control::admin) actor: Option<&'s Actor>,
    /// The secret of the link that was followed.
    pub(in crate::control::admin) link: Option<&'s str>,
    /// Whether tokens of the gate's issuer are good here.
    pub(in crate::control::admin) by_roles: bool,
    /// Whether people can sign in at the gate's issuer.
    pub(in crate::control::admin) at_issuer: bool,
    /// Why it did not work.
    pub(in crate::control::admin) refusal: Option<&'s Refusal>,
}

/// Draws it. It has no script.
pub(in crate::control::admin) fn draw(shown: &Shown<'_>) -> String {
    let mut html = begin("");
    match (shown.actor, shown.link) {
        (Some(actor), _) => signed_in(&mut html, actor),
        (None, Some(link)) => follow(&mut html, link),
        (None, None) => paste(&mut html, shown),
    }
    end(html)
}

/// Draws what a browser sees that came back from the issuer: it is led on, or told why not.
pub(in crate::control::admin) fn back(refusal: Option<&Refusal>) -> String {
    let Some(refusal) = refusal else {
        let mut html = begin("<meta http-equiv=\"refresh\" content=\"0;url=/\">");
        html.raw("<h1>Signed in</h1><p class=\"do\"><a class=\"button\" href=\"/\">Go on</a></p>");
        return end(html);
    };
    let mut html = begin("");
    html.element(
        "<h1>You are not signed in</h1><p class=\"bad\" role=\"alert\">",
        refusal,
        "</p>",
    );
    html.raw("<p class=\"do\"><a class=\"button\" href=\"/login\">Try again</a></p>");
    end(html)
}

fn begin(meta: &'static str) -> Html {
    let mut html = Html::default();
    html.raw(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Sign in · Banyan</title>\
         <link rel=\"stylesheet\" href=\"/assets/style.css\">\
         <link rel=\"icon\" href=\"/assets/banyan.svg\" type=\"image/svg+xml\">",
    );
    html.raw(meta);
    html.raw(
        "</head><body>\
         <header><div class=\"bar\"><a class=\"brand\" href=\"/\">\
         <img src=\"/assets/banyan.svg\" alt=\"\" width=\"22\" height=\"22\">Banyan</a></div></header>\
         <main class=\"sign\"><section>",
    );
    html
}

fn end(mut html: Html) -> String {
    html.raw("</section></main></body></html>");
    html.finish()
}

fn signed_in(html: &mut Html, actor: &Actor) {
    html.element("<h1>Signed in</h1><p>You are <b>", &actor.name, "</b>. You may ");
    match &actor.may {
        May::Read => {
            html.raw("look, and change nothing");
        }
        May::Write(Reach::Everything) => {
            html.raw("change every flag");
        }
        May::Write(Reach::Only { flags, squads }) => {
            html.raw("change ");
            let squads = squads.iter().map(|squad| format!("the flags of {squad}"));
            let flags = flags.iter().map(|flag| format!("the flag {flag}"));
            html.each(squads.chain(flags), ", ", |html, what| {
                html.text(what);
            });
        }
    }
    html.raw(
        ".</p><p class=\"do\"><a class=\"button\" href=\"/\">Go on</a></p>\
         <form method=\"post\" action=\"/logout\"><button class=\"link\">Sign out</button></form>",
    );
}

fn follow(html: &mut Html, link: &str) {
    html.raw("<h1>Sign in</h1><p>This link signs in one browser, once, within fifteen minutes of Banyan's start.</p>");
    html.raw("<form method=\"post\" action=\"/login\"><input type=\"hidden\" name=\"t\"");
    html.attribute("value", link);
    html.raw("><p class=\"do\"><button autofocus>Sign in</button></p></form>");
}

fn paste(html: &mut Html, shown: &Shown<'_>) {
    html.raw("<h1>Sign in</h1>");
    if let Some(refusal) = shown.refusal {
        html.element("<p class=\"bad\" role=\"alert\" id=\"why\">", refusal, "</p>");
    }
    if shown.at_issuer {
        html.raw(
            "<p class=\"do\"><a class=\"button\" href=\"/login/issuer\">Sign in with your identity provider</a></p>\
             <p class=\"quiet\">Or bring a token:</p>",
        );
    }
    html.raw(
        "<form method=\"post\" action=\"/login\"><label for=\"token\">Token</label>\
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"off\" autocapitalize=\"none\" \
         spellcheck=\"false\" required autofocus",
    );
    if shown.refusal.is_some() {
        html.raw(" aria-invalid=\"true\" aria-describedby=\"why\"");
    }
    html.raw("><p class=\"do\"><button>Sign in</button></p></form><p class=\"quiet\">Good here are:</p><ul class=\"ways\">");
    if shown.by_roles {
        html.raw("<li>an access token of your identity provider</li>");
    }
    html.raw(
        "<li>a token that your operator made with <code>banyan token add</code></li>\
         <li>on the router's own machine, what the file <code>cli.token</code> in its state folder holds</li></ul>",
    );
}
