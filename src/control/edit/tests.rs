//! Changing flags' files.
