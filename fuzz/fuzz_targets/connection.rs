//! Needs the feature `shell`: that crate takes long to build.
#![no_main]

#[path = "../bodies/connection.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::connection(data));
