//! Replays the committed corpora of the fuzz targets that look into this crate: what was found once stays found.

use std::path::{Path, PathBuf};

use strowger_shell::dns;

#[path = "../../fuzz/bodies/connection.rs"]
mod connection_target;
#[path = "../../fuzz/bodies/dns.rs"]
mod dns_target;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = std::fs::read_dir(folder).expect("a committed corpus").map(|e| e.expect("a file").path());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        eprintln!("{}", file.display()); // the last one shown is the one that fails
        body(&std::fs::read(&file).expect("a file"));
    }
}

#[test]
fn however_a_stream_is_cut_the_same_comes_of_it() {
    replay("connection", connection_target::connection);
}

#[test]
fn whatever_the_dns_answers_a_look_up_ends() {
    replay("dns", dns_target::dns);
}
