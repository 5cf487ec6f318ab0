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
mod forged;
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
mod bulkheads;
mod cache;
mod cache_disk;
mod cache_tables;
mod caching;
mod carried;
mod chaos;
mod check;
mod cloudfront_log;
mod collapsing;
mod compress;
mod deploys;
mod door;
mod draining;
mod drills;
mod editing;
mod error_pages;
mod explain;
mod explain_live;
mod failover;
mod first_keys;
mod fixation;
mod flag_order;
mod flags;
mod forwarding;
mod gate;
mod geo;
mod gone;
mod handover;
mod hedge;
mod hits;
mod import;
mod kept;
mod lies;
mod live;
mod lookup;
mod machine;
mod observe;
mod ofrep;
mod passing;
mod planted;
mod protocol;
mod reload;
mod requests;
mod response;
mod rolling;
mod rooms;
mod routes;
mod servers;
mod session;
mod session_ends;
mod shield;
mod shipped;
mod shutdown;
mod signed;
mod staff;
mod step_up;
mod streaming;
mod strictness;
mod syscalls;
mod systemd;
mod tables;
mod tidy;
mod trailers;
mod turns;
mod upgrade;
mod wording;
