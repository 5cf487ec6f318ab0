//! A shared cache of answers: [`store`] keeps them, within its bounds, and forgets what is purged.

pub mod store;
