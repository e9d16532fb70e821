//! Replays the committed corpus of the fuzz target `dns`: what was found once stays found.

use std::path::{Path, PathBuf};

use strowger_shell::dns;

#[path = "../../fuzz/bodies/dns.rs"]
mod body;

#[test]
fn whatever_the_dns_answers_a_look_up_ends() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/dns");
    let files = std::fs::read_dir(folder).expect("a committed corpus").map(|e| e.expect("a file").path());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        eprintln!("{}", file.display()); // the last one shown is the one that fails
        body::dns(&std::fs::read(&file).expect("a file"));
    }
}
