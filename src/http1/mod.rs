//! HTTP/1.1 on the wire, strictly: one reading of every message, in both directions.
//!
//! [`head`] and [`chunked`] are pure. [`server`] runs a client's connection, [`client`] one to a backend's server; neither
//! starts a task: the client's exchange is polled inside the service's future, which is polled inside the server's.

pub mod chunked;
pub mod client;
mod decode;
mod encode;
pub mod head;
mod intake;
mod outbox;
pub mod server;
mod timer;

pub use self::{client::ResponseBody, server::RequestBody};

#[cfg(test)]
mod bodies_tests;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod relay_tests;
