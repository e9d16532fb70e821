//! What is typed, line by line.

use std::io::BufRead;

use tokio::sync::mpsc;

/// What is typed from now on.
pub(crate) fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    let read = move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line.trim().to_owned()).is_err() {
                return;
            }
        }
    };
    // Without the thread nothing is typed, and the program ends.
    let _ = std::thread::Builder::new().spawn(read);
    lines
}
