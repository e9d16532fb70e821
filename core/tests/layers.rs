//! The house has floors: a room imports only from rooms below it, and features never import each other.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from the ground up. Rooms on one line may name each other: they are plain data.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["wire"],
    &["documents"],
    &["config", "door", "stats"],
    &["ctx"],
    &["txn"],
    &["dialog", "proof"],
    &["agent"],
    &["events"],
    &["auth"],
    &["registrar"],
    &["presence"],
    &["mailboxes"],
    &["lines"],
    &["messages"],
    &["router"],
    &["bridge"],
    &["engine"],
];

/// Features stand side by side: none imports another, though each has a floor of its own in the list.
const FEATURES: &[&str] =
    &["agent", "auth", "registrar", "presence", "mailboxes", "lines", "messages", "router", "bridge"];

/// What has no floor: the door of the house, what shakes it, and the test that reads what any room writes.
const OUTSIDE: &[&str] = &["lib", "fuzzing", "written"];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        fs::read_dir(dir).expect("a source folder").map(|e| e.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn rooms_import_only_from_below() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut faults = Vec::new();
    let mut seen = 0;
    for file in &files {
        let relative = file.strip_prefix(&src).expect("below src");
        let room = relative.components().next().expect("a first part").as_os_str().to_string_lossy();
        let room = room.trim_end_matches(".rs");
        let Some(own) = floor(room) else {
            assert!(OUTSIDE.contains(&room), "{room} is on no floor");
            continue;
        };
        // Tests may look anywhere.
        if relative.to_string_lossy().contains("tests") || relative.to_string_lossy().contains("fixture") {
            continue;
        }
        let text = fs::read_to_string(file).expect("a source file");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            for part in line.split("crate::").skip(1) {
                let other: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(theirs) = floor(&other) else { continue };
                if line.trim_start().starts_with("//") {
                    continue;
                }
                seen += 1;
                let side_by_side =
                    FEATURES.contains(&room) && FEATURES.contains(&other.as_str()) && room != other;
                if theirs > own || side_by_side {
                    faults.push(format!("{}:{}: {room} imports {other}", relative.display(), number + 1));
                }
            }
        }
    }
    assert!(seen > 20, "the test no longer finds any imports");
    assert!(faults.is_empty(), "imports against the layer rule:\n{}", faults.join("\n"));
}
