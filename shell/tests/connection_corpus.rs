//! Replays the committed corpus of the fuzz target `connection`: what was found once stays found.

use std::path::{Path, PathBuf};

#[path = "../../fuzz/bodies/connection.rs"]
mod body;

#[test]
fn however_a_stream_is_cut_the_same_comes_of_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/connection");
    let files = std::fs::read_dir(folder).expect("a committed corpus").map(|e| e.expect("a file").path());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        eprintln!("{}", file.display()); // the last one shown is the one that fails
        body::connection(&std::fs::read(&file).expect("a file"));
    }
}
