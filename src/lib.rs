//! Banyan: an edge router that lets a company replace a legacy web application piece by piece, behind one domain.
//!
//! # The code map
//!
//! Files become [`config::settings::Settings`], settings become a [`snapshot::Snapshot`], a request reads one snapshot from start to
//! end, and leaves one [`observe::record::Record`]. A request meets the modules in this order:
//!
//! accept ([`proxy::listen`]) → TLS ([`tls`]) → HTTP ([`http1`], [`http2`]) → normalise ([`route::target`]) → visitor ([`visitor`]) →
//! route ([`route`]) → gate ([`gate`]) → flags ([`flag`]) → waiting room ([`room`]) → backend ([`backend`]) → respond ([`proxy`]) → record ([`observe`]).
//! [`proxy::exchange::handle`] tells the whole story on one screen.
//!
//! | module | what it is | invariant worth knowing |
//! |---|---|---|
//! | [`name`], [`clock`], [`limits`], [`courtesy`] | validated names; the one place that reads time; every bound; long work gives way to traffic | use nothing else |
//! | [`stream`], [`fields`], [`body`], [`message`], [`wire`], [`tunnel`] | bytes, heads, bodies, what HTTP versions share, connections that changed their protocol | know nothing of routes or flags |
//! | [`http1`], [`http2`] | HTTP on the wire, strictly, both directions | one reading of every message; no task or channel per exchange, but for `h2`'s towards HTTP/2 backends |
//! | [`visitor`], [`gate`], [`flag`], [`route`] | who asks, may they, which variant, which route | pure: no socket, no clock; time and bytes come in, a value goes out |
//! | [`shield`] | budgets, rates, seats, lines and what a backend can bear: what keeps load away from who can't bear it | atomics that all cores share; a lock only where somebody waits anyway |
//! | [`room`], [`drill`] | who waits before a route; faults that are put in on purpose | pure; what a room counts does not grow with those who wait |
//! | [`policy`] | what a route does to requests and answers, beside where it leads | pure |
//! | [`backend`] | servers and their names, versions, picking, ejection, breakers, health, pools | only `connect`, `pool`, `probe` and `resolve` do I/O; hot counts stay on a core until its second ends |
//! | [`tls`] | certificates by SNI, the development CA, trust towards servers | open connections never notice a renewal |
//! | [`config`] | files as people write them | the only module that reads TOML; every problem at once, with its place |
//! | [`import`] | a CloudFront distribution becomes files, with a report | pure; only `cli` calls it; secrets never come out of it |
//! | [`snapshot`] | everything a request needs, frozen; [`snapshot::decide`] | no setter; `decide` is the one decision for traffic, explain, tests and API |
//! | [`ofrep`] | flags for programs and browsers that ask by OpenFeature's protocol | pure, but for the stream of changes; decides as traffic is decided |
//! | [`observe`] | record → access log, metrics, trace | knows nothing of HTTP's inside; every label comes from a bounded set |
//! | [`cache`] | answers kept for everyone: RFC 9111 as pure rules, the store, its bounds, purges, its disk | only `cache::store` changes; a look takes no lock; a purge is a number, never a search; no core waits for a disk |
//! | [`proxy`] | the data plane in the order a request meets it | never names `config` or `control`; shares nothing between cores |
//! | [`control`] | the control plane: watch, publish, probe, admin API and page | never names `proxy`; a slow call there delays no request |
//! | [`handover`] | a new program takes over from the one that runs: sockets, what was counted, then traffic | until the new one serves, nothing has changed for the old one |
//! | [`serve`] | the wiring: settings → snapshot → sockets → planes → drain | the only place where the planes meet |
//! | [`cli`], [`demo`] | the command line; the demo site's backends | |
//!
//! Each core runs one single-threaded runtime with its own listening sockets, connections and counters: nothing on a request's
//! path takes a lock that another core holds, but where the cache has no answer for it: then it asks in [`proxy::caching::flights`] whether
//! another core has asked, and reads along there; and who keeps an answer takes the store's. `tests/it/tidy` keeps the borders between these
//! modules.

pub mod backend;
pub mod body;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod courtesy;
pub mod demo;
pub mod drill;
pub mod fields;
pub mod flag;
pub mod gate;
pub mod handover;
pub mod http1;
pub mod http2;
pub mod import;
pub mod limits;
pub mod message;
pub mod name;
pub mod observe;
pub mod ofrep;
pub mod policy;
pub mod proxy;
pub mod room;
pub mod route;
pub mod serve;
pub mod shield;
pub mod snapshot;
pub mod stream;
pub mod tls;
pub mod tunnel;
pub mod visitor;
mod websocket;
pub mod wire;
