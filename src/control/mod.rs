//! The control plane: on its own thread and runtime, so that a slow admin call can't delay a request.
//!
//! [`plane`] runs it, [`publish`] loads and puts in force (what came of it: [`status`]), [`watch`] notices saved files, [`jwks`] fetches the gate's keys, [`provider`] speaks to the identity provider,
//! `rooms` and `drills` look after those once a second, `servers` tells metrics of servers, [`keep`] holds the secrets that Banyan makes itself, [`cache`] purges, [`used`] tells what it was good for, [`edit`] changes flags, [`history`] remembers that, [`live`] has the figures of
//! the last minutes, [`admin`] is the page and the API.
//! It never names `proxy`: the two planes meet in the published snapshot.

pub mod admin;
pub mod cache;
mod drills;
pub mod edit;
pub mod history;
pub mod jwks;
pub mod keep;
pub mod links;
pub mod live;
pub mod plane;
pub mod provider;
pub mod publish;
mod rooms;
mod rotation;
mod servers;
pub mod status;
pub mod used;
pub mod watch;
