//! The data plane, in the order a request meets it.
//!
//! [`listen`] accepts, [`exchange`] tells the story of one request, [`headers`] rewrites what passes, [`forward`] asks a server,
//! [`compress`] may encode the answer's body, [`follow`] watches it to its end, [`refusal`] and [`answer`] are what happens instead, [`redirect`] is the
//! plain listener, [`edge`] is what a core keeps.

pub mod answer;
pub mod compress;
pub mod edge;
pub mod exchange;
pub mod follow;
pub mod forward;
pub mod headers;
pub mod listen;
pub mod redirect;
pub mod refusal;
