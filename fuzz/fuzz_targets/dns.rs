//! Needs the feature `shell`: that crate takes long to build.
#![no_main]

use strowger_shell::dns;

#[path = "../bodies/dns.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::dns(data));
