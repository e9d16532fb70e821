//! Replays the committed corpora of the fuzz targets: what was found once stays found. And programs over a whole engine
//! that nobody chose, a few of each kind; `STROWGER_PROGRAMS=5000` tries so many.

use std::path::{Path, PathBuf};

use strowger_core::fuzzing;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).expect("a committed corpus").map(|e| e.expect("a file").path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        eprintln!("{}", file.display()); // the last one shown is the one that fails
        body(&std::fs::read(&file).expect("a file"));
    }
}

macro_rules! targets {
    ($($target:ident,)*) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target), fuzzing::$target);
        })*

        #[test]
        fn every_corpus_is_replayed() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
            let names = std::fs::read_dir(folder).expect("the corpora");
            let mut names: Vec<_> = names.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
            // Those of the resolver and of connections are replayed where these live (`shell/tests`).
            names.retain(|name| !matches!(&**name, "dns" | "connection"));
            names.sort();
            let mut replayed = vec![$(stringify!($target)),*];
            replayed.sort_unstable();
            assert_eq!(names, replayed);
        }
    };
}

targets! {
    parse_message,
    uri,
    header_values,
    event_headers,
    call_headers,
    framer,
    pidf,
    digest_credentials,
    bearer_credentials,
    engine_ops,
}

/// Programs made of bytes that look random, after this first one.
fn programs(first: u8, usual: u64) {
    #[allow(clippy::disallowed_methods)] // How many is for whoever runs it to say.
    let wanted = std::env::var("STROWGER_PROGRAMS").ok().and_then(|number| number.parse().ok());
    for seed in 1..=wanted.unwrap_or(usual) {
        eprintln!("{first:x} {seed}"); // the last one shown is the one that fails
        fuzzing::engine_ops(&program(first, seed));
    }
}

fn program(first: u8, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bytes = (0..600).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    });
    std::iter::once(first).chain(bytes).collect()
}

#[test]
fn programs_with_calls_hold_their_invariants() {
    programs(0xa1, 150);
}

#[test]
fn programs_with_calls_that_are_proved_and_routed_by_the_host_hold_their_invariants() {
    programs(0xa0, 100);
}

#[test]
fn programs_with_calls_over_a_relay_hold_their_invariants() {
    programs(0xa9, 150);
    programs(0xa8, 50);
}

#[test]
fn programs_with_presence_hold_their_invariants() {
    programs(0xf1, 100);
}
