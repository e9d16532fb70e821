//! The ready-made server.
#![forbid(unsafe_code)]
