//! Heads as HTTP/2 compresses them (RFC 7541), without any input or output.
//!
//! `table` keeps what both sides remember, `huffman` is the code of strings, `decode` reads a client's header blocks, `encode`
//! writes ours.

mod decode;
mod encode;
mod huffman;
mod table;

pub use self::{
    decode::{Decoder, Sink, Undecodable},
    encode::Encoder,
    table::{Name, Pseudo},
};

/// Bytes that an entry counts beside its name and value (RFC 7541 section 4.1).
const ENTRY_BYTES: usize = 32;
