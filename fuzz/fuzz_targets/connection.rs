//! Needs the feature of its name: the crate it is of takes long to build.
#![no_main]

#[path = "../bodies/connection.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::connection(data));
