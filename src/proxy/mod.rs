//! The data plane, in the order a request meets it.
//!
//! [`listen`] accepts, [`exchange`] tells the story of one request, [`headers`] rewrites what passes, `failover` asks a backend
//! and perhaps a second one, [`forward`] asks a server, `deadline` bounds how long all of that may take, [`follow`] watches the answer's body to its end, [`refusal`] and [`answer`] are what happens instead, [`redirect`] is the
//! plain listener, [`edge`] is what a core keeps.

pub mod answer;
mod deadline;
pub mod edge;
pub mod exchange;
mod failover;
pub mod follow;
pub mod forward;
pub mod headers;
pub mod listen;
pub mod redirect;
pub mod refusal;
