//! The resolver without the rest of its crate, whose cryptography takes long to build.
#![no_main]

#[path = "../bodies/dns.rs"]
mod body;
#[allow(dead_code)]
#[path = "../../shell/src/dns/mod.rs"]
mod dns;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::dns(data));
