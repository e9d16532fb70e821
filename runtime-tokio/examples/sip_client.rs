//! A SIP client for the terminal: it registers, takes calls and makes them, without sound.
//!
//! ```text
//! cargo run -p strowger-tokio --example sip_client -- alice@example.com <password> [server]
//! ```
//!
//! Lines that it understands: `call bob@example.com`, `hang up`, `hold`, `resume`, `digit 5`, `transfer carol@example.com`,
//! `quit`. A call that comes in rings for a second and is taken.

mod terminal;

use std::time::Duration;

use strowger_tokio::core::door::UaCallStep;
use strowger_tokio::{Peer, PeerCall, PeerError, PeerEvent, SimplePeer};

/// A session that has no media: nothing is sent, and nothing is heard.
fn session(version: u32, direction: &str) -> String {
    format!(
        "v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio 9 RTP/AVP 0\r\na={direction}\r\n"
    )
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(aor), Some(password)) = (args.next(), args.next()) else {
        eprintln!("usage: sip_client <address of record> <password> [server]");
        return Ok(());
    };
    let mut peer = SimplePeer::new(aor).password(password);
    if let Some(server) = args.next() {
        peer = peer.server(server);
    }
    let (peer, mut events) = peer.start().await?;
    match peer.register().await {
        Ok(()) => println!("registered"),
        Err(error) => println!("not registered: {error}"),
    }
    let mut lines = terminal::lines();
    let mut call: Option<PeerCall> = None;
    let mut version = 1;
    loop {
        // What happens next: a line, an event, or something of the call there is.
        tokio::select! {
            line = lines.recv() => match line.as_deref() {
                None | Some("quit") => break,
                Some(line) => {
                    version += 1;
                    if let Err(error) = obey(&peer, &mut call, line, version).await {
                        println!("{error}");
                    }
                }
            },
            event = events.next() => match event {
                None => break,
                Some(PeerEvent::Call(incoming)) if call.is_none() => {
                    println!("{} {} calls", incoming.display(), incoming.other());
                    incoming.ring().await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    incoming.answer(session(1, "inactive")).await?;
                    call = Some(incoming);
                }
                Some(PeerEvent::Call(another)) => another.reject(486).await?,
                Some(PeerEvent::Told(step)) => println!("{step:?}"),
                Some(other) => println!("{other:?}"),
            },
            step = next(&mut call) => match step {
                Some(UaCallStep::Ended { status, .. }) => {
                    println!("over: {status}");
                    call = None;
                }
                Some(UaCallStep::Progress { status, .. }) => println!("ringing: {status}"),
                Some(UaCallStep::Established { .. }) => println!("talking"),
                Some(UaCallStep::Changed { sdp }) => println!("{}", direction(&sdp)),
                Some(step) => println!("{step:?}"),
                None => call = None,
            },
        }
    }
    drop(call);
    peer.close().await?;
    Ok(())
}

/// What happens to the call; never, if there is none.
async fn next(call: &mut Option<PeerCall>) -> Option<UaCallStep> {
    match call {
        Some(call) => call.next().await,
        None => std::future::pending().await,
    }
}

/// What the other side says of the media now.
fn direction(sdp: &[u8]) -> &'static str {
    let says = |line: &str| String::from_utf8_lossy(sdp).lines().any(|one| one == line);
    match () {
        _ if says("a=sendonly") || says("a=inactive") => "on hold",
        _ => "talking",
    }
}

async fn obey(peer: &Peer, call: &mut Option<PeerCall>, line: &str, version: u32) -> Result<(), PeerError> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match (word, &*call) {
        ("call", None) => *call = Some(peer.call(rest, session(1, "inactive")).await?),
        ("hang", Some(call)) => call.hang_up().await?,
        ("hold", Some(call)) => call.change(session(version, "inactive")).await?,
        ("resume", Some(call)) => call.change(session(version, "sendrecv")).await?,
        ("transfer", Some(call)) => call.transfer(rest).await?,
        ("digit", Some(call)) => {
            for digit in rest.chars() {
                call.digit(digit).await?;
            }
        }
        _ => println!("call, hang up, hold, resume, digit, transfer or quit"),
    }
    Ok(())
}
