//! The body lives in `strowger_core::fuzzing`, where clippy sees it and tests replay the corpus.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_core::fuzzing::call_headers(data));
