//! The protocol's words, as its clients read them.
