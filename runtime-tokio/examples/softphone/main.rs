//! A softphone for the terminal, with sound from and to files: it registers, says that it is there, watches buddies, calls
//! and is called. Sound is G.711 (PCMU) over RTP (RFC 3550, RFC 3551), 8,000 samples a second from a WAV file and into one.
//!
//! ```text
//! cargo run -p strowger-tokio --example softphone -- alice@example.com <password> <server> [play.wav] [record.wav]
//! ```
//!
//! Lines that it understands: `call bob@example.com`, `watch bob@example.com`, `hang up`, `quit`. Who calls is answered.

// The test of this program is another one around it.
#![allow(dead_code)]

#[path = "../sound/mod.rs"]
pub(crate) mod sound;
#[path = "../terminal/mod.rs"]
mod terminal;

use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;

use strowger_tokio::core::door::{PresenceState, UaCallStep, UaStep};
use strowger_tokio::{PeerCall, PeerEvent, SimplePeer};
use tokio::sync::mpsc;

use sound::{Sound, address_in};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Who it is, and where sound comes from and goes to.
pub(crate) struct Options {
    pub(crate) aor: String,
    pub(crate) password: String,
    pub(crate) server: String,
    pub(crate) play: Option<PathBuf>,
    pub(crate) record: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(aor), Some(password), Some(server)) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: softphone <address of record> <password> <server> [play.wav] [record.wav]");
        return Ok(());
    };
    let options = Options {
        aor,
        password,
        server,
        play: args.next().map(Into::into),
        record: args.next().map(Into::into),
    };
    run(options, terminal::lines(), |line| println!("{line}")).await
}

/// Runs until the lines end, or say so. What happens is told in words.
pub(crate) async fn run(
    options: Options,
    mut lines: mpsc::Receiver<String>,
    say: impl Fn(String),
) -> Result<()> {
    let (peer, mut events) =
        SimplePeer::new(&options.aor).password(&options.password).server(&options.server).start().await?;
    peer.register().await?;
    peer.publish_presence(PresenceState::Available, "").await?;
    say("registered".into());
    let mut talk: Option<(PeerCall, Sound)> = None;
    loop {
        tokio::select! {
            line = lines.recv() => {
                let line = line.unwrap_or_else(|| "quit".into());
                match (line.split_once(' ').unwrap_or((&line, "")), &talk) {
                    (("quit", _), _) => break,
                    (("call", whom), None) => {
                        let sound = open(&options)?;
                        let call = peer.call(whom, sound.description("sendrecv")).await?;
                        talk = Some((call, sound));
                    }
                    (("hang", _), Some((call, _))) => call.hang_up().await?,
                    (("watch", whom), _) => drop(peer.subscribe_presence(whom).await?),
                    _ => say("call, watch, hang up or quit".into()),
                }
            }
            event = events.next() => match event {
                None => break,
                Some(PeerEvent::Call(call)) if talk.is_none() => {
                    say(format!("{} calls", call.other()));
                    let mut sound = open(&options)?;
                    sound.towards(address_in(call.sdp()));
                    call.answer(sound.description("sendrecv")).await?;
                    talk = Some((call, sound));
                }
                Some(PeerEvent::Call(another)) => another.reject(486).await?,
                Some(PeerEvent::Told(UaStep::Presence { presence, .. })) => {
                    say(format!("{} is {:?}", presence.entity, presence.state));
                }
                Some(_) => {}
            },
            step = next(&mut talk) => match (step, &mut talk) {
                (Some(UaCallStep::Established { sdp, .. }), Some((_, sound))) => {
                    sound.towards(address_in(&sdp));
                    say("talking".into());
                    peer.publish_presence(PresenceState::Busy, "On the phone").await?;
                }
                (Some(UaCallStep::Changed { sdp, .. }), Some((_, sound))) => sound.towards(address_in(&sdp)),
                (Some(UaCallStep::Ended { status, .. }), _) => {
                    if let (Some((_, sound)), Some(path)) = (talk.take(), &options.record) {
                        sound.save(path)?;
                    }
                    say(format!("over: {status}"));
                    peer.publish_presence(PresenceState::Available, "").await?;
                }
                (Some(_), _) => {}
                (None, _) => talk = None,
            },
        }
    }
    peer.close().await?;
    Ok(())
}

/// What happens to the call, while its sound flows; never, if there is none.
async fn next(talk: &mut Option<(PeerCall, Sound)>) -> Option<UaCallStep> {
    let Some((call, sound)) = talk else { return std::future::pending().await };
    tokio::select! {
        step = call.next() => step,
        never = sound.flow() => match never {},
    }
}

/// A socket for sound, at the address that the server is reached from.
fn open(options: &Options) -> Result<Sound> {
    let server = options.server.rsplit(':').take(2).collect::<Vec<_>>();
    let server = match server[..] {
        [port, host] if port.parse::<u16>().is_ok() => format!("{host}:{port}"),
        _ => format!("{}:5060", options.server),
    };
    let server = server.to_socket_addrs()?.next().ok_or("the server has no address")?;
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let probe = UdpSocket::bind(any)?;
    // Nothing is sent: the system says from where it would be.
    probe.connect(server)?;
    Sound::open(probe.local_addr()?.ip(), options.play.as_deref())
}
