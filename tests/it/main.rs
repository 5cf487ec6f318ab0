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
mod offline;
mod process;
mod program;
mod websocket;
mod world;

mod chaos;
mod check;
mod explain;
mod flags;
mod forwarding;
mod gate;
mod gone;
mod import;
mod kept;
mod observe;
mod protocol;
mod reload;
mod routes;
mod shipped;
mod shutdown;
mod streaming;
mod strictness;
mod syscalls;
mod tables;
mod tidy;
mod upgrade;
