//! Banyan over real sockets: one binary, so that it is linked once. [`world::World`] starts backends and the router.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    unreachable_pub,
    reason = "everything in here is a test: a panic is how one fails"
)]

mod backend;
mod client;
mod issuer;
mod mmdb;
mod offline;
mod process;
mod program;
mod provider;
mod resolver;
mod signer;
mod websocket;
mod world;

mod asked;
mod attacks;
mod balance;
mod cache;
mod caching;
mod carried;
mod chaos;
mod check;
mod cloudfront_log;
mod compress;
mod door;
mod draining;
mod drills;
mod editing;
mod error_pages;
mod explain;
mod failover;
mod flag_order;
mod flags;
mod forwarding;
mod gate;
mod geo;
mod gone;
mod import;
mod kept;
mod live;
mod lookup;
mod machine;
mod observe;
mod ofrep;
mod passing;
mod protocol;
mod reload;
mod requests;
mod response;
mod rooms;
mod routes;
mod session;
mod session_ends;
mod shield;
mod shipped;
mod shutdown;
mod signed;
mod staff;
mod streaming;
mod strictness;
mod syscalls;
mod tables;
mod tidy;
mod upgrade;
mod wording;
