//! A PBX with a voicemail. Who does not answer, is busy or not there has a mailbox: the caller hears a prompt, what he says
//! is kept as a WAV file (G.711 over RTP), and the phones of the user that subscribed to `message-summary` (RFC 3842) show
//! that it waits.
//!
//! ```text
//! cargo run -p strowger-tokio --example voicemail -- [folder] [prompt.wav]
//! ```
//!
//! Phones register as `alice` or `bob` (password `a long secret`) at port 5070 of this machine. Who calls
//! `sip:voicemail@localhost` hears what is new in his own mailbox, which is old then. Mailboxes are folders of `folder`.

// The test of this program is another one around it.
#![allow(dead_code)]

mod mailboxes;
#[path = "../sound/mod.rs"]
pub(crate) mod sound;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strowger_tokio::core::door::{MessageSummary, UaCallStep};
use strowger_tokio::shell::presence::PresenceHandle;
use strowger_tokio::{PeerCall, SimpleB2bua, SimplePeer};
use tokio::time::{Instant, interval, sleep_until};

use mailboxes::Mailboxes;
use sound::{Sound, address_in, read_wav};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PASSWORD: &str = "a long secret";
const DOMAIN: &str = "localhost";
const VOICEMAIL: &str = "voicemail";

/// How long a message may be.
const LONGEST: Duration = Duration::from_secs(180);
/// Less than half a second is no message, but somebody who hung up.
const LEAST: usize = 4_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = args.next().unwrap_or_else(|| "voicemail".into());
    let prompt = args.next().map(|path| read_wav(&path)).transpose()?.unwrap_or_default();
    let server = pbx(5070).bind().await?;
    let machine = Machine::new(&folder, prompt, server.presence_handler());
    println!("voicemail in {}", folder.display());
    tokio::select! {
        stopped = server.stopped() => Ok(stopped?),
        over = machine.answer("sip:127.0.0.1:5070") => over,
    }
}

/// Whose phones are there, and where their calls go that they do not take.
pub(crate) fn pbx(port: u16) -> SimpleB2bua {
    SimpleB2bua::new("Pbx", port)
        .domain(DOMAIN)
        .account("alice", PASSWORD)
        .account("bob", PASSWORD)
        .account(VOICEMAIL, PASSWORD)
        .enable_registration()
        .enable_calls()
        .enable_message_summary()
        .configure(|config| {
            if let Some(calls) = &mut config.calls {
                calls.voicemail = Some(format!("sip:{VOICEMAIL}@{DOMAIN}"));
                calls.target_timeout = Duration::from_secs(20);
            }
        })
}

/// The answering machine: a phone of the server, which is told about its mailboxes.
#[derive(Clone)]
pub(crate) struct Machine {
    mailboxes: Arc<Mailboxes>,
    prompt: Arc<[i16]>,
    lamps: PresenceHandle,
}

impl Machine {
    /// With its mailboxes here, saying this before the beep.
    pub(crate) fn new(folder: &Path, prompt: Vec<i16>, lamps: PresenceHandle) -> Machine {
        Machine { mailboxes: Arc::new(Mailboxes::new(folder)), prompt: prompt.into(), lamps }
    }

    /// Answers calls, each for itself, until it is not there any more.
    pub(crate) async fn answer(self, server: &str) -> Result<()> {
        let (peer, mut events) = SimplePeer::new(format!("sip:{VOICEMAIL}@{DOMAIN}"))
            .password(PASSWORD)
            .server(server)
            .start()
            .await?;
        peer.register().await?;
        for user in self.mailboxes.all()? {
            self.light(&user).await?;
        }
        while let Some(call) = events.next_call().await {
            let machine = self.clone();
            tokio::spawn(async move {
                if let Err(error) = machine.serve(call).await {
                    eprintln!("a call to the voicemail: {error}");
                }
            });
        }
        Ok(())
    }

    async fn serve(
        &self,
        call: PeerCall,
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let here = here(address_in(call.sdp()))?;
        match call.diverted_by().or(Some(call.called())).and_then(user_of) {
            // The server has made sure that he is who he says he is.
            Some(VOICEMAIL) => match user_of(call.other()).map(str::to_owned) {
                Some(user) => self.play(call, here, &user).await,
                None => Ok(call.reject(403).await?),
            },
            Some(user) if self.mailboxes.may_have(user) => {
                let user = user.to_owned();
                self.record(call, here, &user).await
            }
            _ => Ok(call.reject(404).await?),
        }
    }

    /// Somebody leaves a message.
    async fn record(
        &self,
        mut call: PeerCall,
        here: IpAddr,
        user: &str,
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut sound = Sound::playing(here, [&self.prompt[..], &beep()].concat())?.speak_first();
        talk(&mut call, &mut sound, |_| false).await?;
        if sound.heard().len() >= LEAST {
            self.mailboxes.put(user, sound.heard())?;
            self.light(user).await?;
        }
        Ok(())
    }

    /// A user hears what is new.
    async fn play(
        &self,
        mut call: PeerCall,
        here: IpAddr,
        user: &str,
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let messages = self.mailboxes.fresh(user)?;
        let mut samples = beep();
        for message in &messages {
            samples.extend(read_wav(message).map_err(|error| error.to_string())?);
            samples.extend(beep());
        }
        let mut sound = Sound::playing(here, samples)?;
        talk(&mut call, &mut sound, Sound::has_played).await?;
        if sound.has_played() {
            self.mailboxes.heard(user, &messages)?;
            self.light(user).await?;
        }
        Ok(())
    }

    /// Tells the phones of a user what waits.
    async fn light(&self, user: &str) -> std::io::Result<()> {
        let (new, old) = self.mailboxes.count(user)?;
        let summary = MessageSummary::voice(&format!("sip:{VOICEMAIL}@{DOMAIN}"), new, old);
        // Of who has left meanwhile there is nothing to tell.
        let _ = self.lamps.set_message_summary(&format!("{user}@{DOMAIN}"), summary).await;
        Ok(())
    }
}

/// Answers, and lets sound flow until somebody hangs up, it has lasted for too long, or enough is said.
async fn talk(
    call: &mut PeerCall,
    sound: &mut Sound,
    is_enough: impl Fn(&Sound) -> bool,
) -> std::result::Result<(), strowger_tokio::PeerError> {
    sound.towards(address_in(call.sdp()));
    call.answer(sound.description("sendrecv")).await?;
    let (end, mut look) = (Instant::now() + LONGEST, interval(Duration::from_millis(100)));
    loop {
        tokio::select! {
            step = call.next() => match step {
                Some(UaCallStep::Changed { sdp, .. }) => sound.towards(address_in(&sdp)),
                Some(UaCallStep::Ended { .. }) | None => return Ok(()),
                Some(_) => {}
            },
            never = sound.flow() => match never {},
            () = sleep_until(end) => return call.hang_up().await,
            _ = look.tick() => if is_enough(sound) {
                return call.hang_up().await;
            }
        }
    }
}

/// Three tenths of a second of 1,000 Hz.
fn beep() -> Vec<i16> {
    (0..2_400)
        .map(|n| (f64::from(n) * std::f64::consts::TAU / 8.0).sin() * 12_000.0)
        .map(|s| s as i16)
        .collect()
}

/// The user of a SIP URI.
fn user_of(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once(':')?;
    rest.split_once('@').map(|(user, _)| user).filter(|user| !user.is_empty())
}

/// The address of ours that is on the way to that one. Nothing is sent.
fn here(towards: Option<SocketAddr>) -> std::io::Result<IpAddr> {
    let towards = towards.unwrap_or_else(|| ([127, 0, 0, 1], 9).into());
    let any: IpAddr = if towards.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    let probe = UdpSocket::bind((any, 0))?;
    probe.connect(towards)?;
    Ok(probe.local_addr()?.ip())
}
