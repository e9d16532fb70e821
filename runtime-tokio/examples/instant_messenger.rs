//! An instant messenger for the terminal: who is there, and what they write.
//!
//! ```text
//! cargo run -p strowger-tokio --example instant_messenger -- alice@example.com <password> <server> [buddy..]
//! ```
//!
//! `bob@example.com hello` writes to bob. `/available`, `/busy`, `/away` and `/dnd` say what you are, with a note behind
//! them; `/quit` ends.

mod terminal;

use strowger_tokio::core::door::{PresenceState, UaStep};
use strowger_tokio::{Peer, PeerError, PeerEvent, SimplePeer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(aor), Some(password), Some(server)) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: instant_messenger <address of record> <password> <server> [buddy..]");
        return Ok(());
    };
    let (peer, mut events) = SimplePeer::new(aor).password(password).server(server).start().await?;
    peer.register().await?;
    peer.publish_presence(PresenceState::Available, "").await?;
    for buddy in args {
        peer.subscribe_presence(buddy).await?;
    }
    let mut lines = terminal::lines();
    loop {
        tokio::select! {
            line = lines.recv() => match line.as_deref() {
                None | Some("/quit") => break,
                Some(line) => {
                    if let Err(error) = say(&peer, line).await {
                        println!("! {error}");
                    }
                }
            },
            event = events.next() => match event {
                None => break,
                Some(PeerEvent::Told(step)) => show(&step),
                Some(PeerEvent::Call(call)) => call.reject(488).await?,
                Some(_) => {}
            },
        }
    }
    peer.close().await?;
    Ok(())
}

async fn say(peer: &Peer, line: &str) -> Result<(), PeerError> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let state = match word {
        "/available" => PresenceState::Available,
        "/busy" => PresenceState::Busy,
        "/away" => PresenceState::Away,
        "/dnd" => PresenceState::DoNotDisturb,
        "" => return Ok(()),
        to => {
            if !peer.message(to, rest).await? {
                println!("  {to} is not there and will read it later");
            }
            return Ok(());
        }
    };
    peer.publish_presence(state, rest).await
}

fn show(step: &UaStep) {
    match step {
        UaStep::Message { from, body, .. } => println!("{from}: {}", String::from_utf8_lossy(body)),
        UaStep::Presence { presence, .. } => {
            println!(
                "* {} is {:?} {}",
                presence.entity,
                presence.state,
                presence.note.as_deref().unwrap_or_default()
            );
        }
        UaStep::Subscription { target, state, .. } => println!("* {target}: {state:?}"),
        UaStep::Registration { state, .. } => println!("* {state:?}"),
        _ => {}
    }
}
