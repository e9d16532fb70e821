//! The commands of the desk: `user`, `token` and `key`.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use super::{strowger, text};

/// Runs one about the accounts of the server whose state and configuration, if it has one, are in this folder, with this on
/// its standard input: whether it succeeded, and what it said.
pub(crate) fn desk(dir: impl AsRef<Path>, args: &[&str], input: &str) -> (bool, String) {
    let [state, file] = ["state", "strowger.toml"].map(|name| dir.as_ref().join(name));
    let mut command = strowger(args);
    command.arg("--state-dir").arg(state);
    if file.exists() {
        command.arg("-c").arg(file);
    }
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary runs");
    // Most of them ask for nothing, and may have ended.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("ended");
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}
