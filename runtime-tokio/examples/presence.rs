//! A presence server that a program looks into and takes part in.
//!
//! ```text
//! cargo run -p strowger-tokio --example presence
//! ```
//!
//! Let phones register as `alice` and `bob` (password `a long secret`) at port 5070 of this machine, and watch each
//! other. Then type what the program shall say for them:
//!
//! ```text
//! bob busy In a meeting      publishes for bob, for an hour
//! bob                        shows what bob is, and how that is known
//! bob -                      takes back what was published here
//! ```

use std::io::{self, BufRead};
use std::thread;
use std::time::Duration;

use strowger_tokio::core::door::{PresenceState, PresenceView};
use strowger_tokio::{PresenceError, PresenceHandle, SimpleB2bua};
use tokio::sync::mpsc;

const PORT: u16 = 5070;
const PASSWORD: &str = "a long secret";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = SimpleB2bua::new("Lobby", PORT)
        .account("alice", PASSWORD)
        .account("bob", PASSWORD)
        .enable_registration()
        .enable_presence()
        .bind()
        .await?;
    println!("alice and bob register at port {PORT} with the password {PASSWORD:?}.");
    println!("Type: NAME [available|busy|dnd|away|offline|-] [NOTE]");

    let presence = server.presence_handler();
    let mut lines = typed()?;
    while let Some(line) = lines.recv().await {
        if let Err(error) = obey(&presence, line.trim()).await {
            println!("{error}");
        }
    }
    server.handle().shutdown()?;
    Ok(server.stopped().await?)
}

async fn obey(presence: &PresenceHandle, line: &str) -> Result<(), PresenceError> {
    let mut words = line.splitn(3, ' ');
    let (name, word) = (words.next().unwrap_or_default(), words.next());
    let note = words.next().unwrap_or_default();
    if name.is_empty() {
        return Ok(());
    }
    let aor = if name.contains('@') { name.to_owned() } else { format!("{name}@localhost") };
    let state = match word {
        None => {
            show(&presence.get_presence(&aor).await?);
            return Ok(());
        }
        Some("-") => return presence.withdraw_presence(&aor).await,
        Some("available") => PresenceState::Available,
        Some("busy") => PresenceState::Busy,
        Some("dnd") => PresenceState::DoNotDisturb,
        Some("away") => PresenceState::Away,
        Some("offline") => PresenceState::Offline,
        Some(other) => {
            println!("{other:?} is nothing one can be");
            return Ok(());
        }
    };
    presence.update_presence(&aor, state, note, Duration::from_secs(3600)).await
}

fn show(view: &PresenceView) {
    println!("{} is {:?} {}", view.aor, view.state, view.note.as_deref().unwrap_or_default());
    for device in &view.devices {
        let open = if device.open == Some(true) { "open" } else { "closed" };
        println!("  {open} {:?} {}", device.source, device.contact.as_deref().unwrap_or_default());
    }
}

/// Lines of the standard input, read by a thread that may wait for them.
fn typed() -> io::Result<mpsc::UnboundedReceiver<String>> {
    let (sender, lines) = mpsc::unbounded_channel();
    let read = move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    };
    thread::Builder::new().name("typed".into()).spawn(read)?;
    Ok(lines)
}
