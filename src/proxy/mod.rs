//! The data plane, in the order a request meets it.
//!
//! [`listen`] accepts, [`exchange`] tells the story of one request, [`headers`] rewrites what passes, [`passing`] what else
//! `[routes.forward]` judges, [`turns`] has signatures verified one after the other, `admit` lets in what has room, [`elsewhere`] looks for assets that are
//! missing, `failover` asks a backend and perhaps a second one (`replay` keeps the body), [`forward`] asks a server (`tries` says whether another, `hashed` whose turn it is by its key), `deadline` bounds how long all
//! of that may take, [`respond`] writes what the route says of its answers, [`compress`] may encode them, [`follow`] watches the answer's
//! body to its end, [`recall`] ends it when its side is switched off, [`refusal`] and [`answer`] are what happens instead, [`error_page`]
//! is what browsers see of that, [`redirect`] sends clients elsewhere, `carried` is what browsers carry beside the visitor cookie (`pinned`: the version that they are on),
//! `override_page` the pages about it, [`sign_in`] those where people sign in and out, [`ofrep`] serves flags to programs and pages as [`seats`] allow, `hedge` asks a second server where
//! the first takes long, [`edge`] is what a core keeps.

mod access;
mod admit;
pub mod answer;
pub mod caching;
mod carried;
pub mod compress;
mod deadline;
mod drills;
pub mod edge;
pub mod elsewhere;
pub mod error_page;
pub mod exchange;
mod failover;
pub mod follow;
pub mod forward;
mod hashed;
pub mod headers;
mod hedge;
pub mod listen;
pub mod lookup;
pub mod ofrep;
mod override_page;
pub mod passing;
mod pinned;
pub mod recall;
pub mod redirect;
pub mod refusal;
mod replay;
pub mod respond;
mod room_page;
mod rooms;
pub mod seats;
pub mod sign_in;
mod tries;
pub mod turns;
mod withheld;
