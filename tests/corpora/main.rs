//! Replays the committed corpora of the fuzz targets: what was found once stays found.

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
    framer,
    pidf,
    digest_credentials,
    bearer_credentials,
    engine_ops,
}
