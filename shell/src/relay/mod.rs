//! A relay of media: what one party of a call sends goes to the other from the address that one was shown. It decodes
//! nothing, so RTP, RTCP, SRTP, RFC 4733 and fax pass as they are. RFC 4961, RFC 7362 s4, RFC 5761.
//!
//! Each stream of a party has two ports, for RTP and RTCP, which the other one is shown. From a port it is known where
//! the other one is when he sends: the first source is taken (latching), and nobody else until it has been silent for a
//! while ([`RelayOptions::relatch`]), or a new description says that he is elsewhere. Who sends from where his messages
//! come from, or his description says, goes before everybody else, and is followed by no stranger. Nothing is sent to
//! where nothing came from, and nothing that comes goes out more than once: the relay amplifies nothing, and sends to
//! nobody who did not send.
//!
//! Ports for the answer are lent with the first offer, so that there is none that nobody can answer. What bounds it:
//! [`RelayOptions::ports`], [`STREAMS`] of a description, [`ENDS`] of a session.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use strowger_core::config::MediaMode;
//! use strowger_shell::options::{MediaOptions, Options};
//! use strowger_shell::relay::RelayOptions;
//!
//! let media = MediaOptions::Relay(RelayOptions::new("203.0.113.5".parse()?));
//! let server = strowger_tokio::SimpleB2bua::new("example.com", 5060)
//!     .enable_calls()
//!     .configure(|config| config.calls.get_or_insert_default().media.mode = MediaMode::Auto)
//!     .options(Options { media, ..Options::default() });
//! # Ok(())
//! # }
//! ```
//!
//! [`Table`] is all of that without sockets; `work` has the sockets and their one thread, the same beside every runtime; `ng`
//! asks an rtpengine instead.

mod ng;
mod sdp;
mod table;
#[cfg(unix)]
mod watch;
#[cfg(unix)]
mod work;

use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use strowger_core::door::{Answer, MediaAnswer, MediaQuery};
use strowger_core::wire::sdp::is_webrtc;

use crate::clock::Clock;
use crate::hooks::{Notice, OnNotice};
use crate::inbox::Inbound;
use crate::options::MediaOptions;
use crate::promise::Wait;
use crate::queue::Sender;

pub use ng::{Bencode, Rtpengine, RtpengineOptions, RtpengineStats, Said};
pub use table::{Forward, Ports, Table};
#[cfg(unix)]
pub use work::Relay;

/// Most streams of one description.
pub const STREAMS: usize = 8;
/// Most parties of one session.
pub const ENDS: usize = 16;

/// How media are relayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayOptions {
    /// The address its sockets are bound to; `::` takes IPv4 as well.
    pub address: IpAddr,
    /// The addresses that are shown: of each family the first. Empty for [`address`](RelayOptions::address).
    pub advertised: Vec<IpAddr>,
    /// The ports it may use; a stream takes two for each party.
    pub ports: RangeInclusive<u16>,
    /// A session in which nothing was sent for so long gives its ports back.
    pub silence: Duration,
    /// A source that was silent for so long may be followed by another one.
    pub relatch: Duration,
}

impl RelayOptions {
    /// At this address, with the usual ports.
    pub fn new(address: IpAddr) -> RelayOptions {
        RelayOptions {
            address,
            advertised: Vec::new(),
            ports: 30_000..=39_999,
            silence: Duration::from_secs(300),
            relatch: Duration::from_secs(2),
        }
    }

    /// What is shown to who has an address of this family.
    fn shown(&self, ipv4: bool) -> Option<IpAddr> {
        let own = Some(self.address).filter(|_| self.advertised.is_empty());
        let all = self.advertised.iter().copied().chain(own);
        all.map(|addr| addr.to_canonical()).find(|addr| addr.is_ipv4() == ipv4 && !addr.is_unspecified())
    }
}

/// What a relay has done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RelayStats {
    /// Sessions now.
    pub sessions: usize,
    /// Ports in use now.
    pub ports: usize,
    /// Packets passed on.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Packets of somebody else than the one whose port it is: dropped.
    pub foreign: u64,
    /// Packets for somebody who has sent nothing yet: dropped.
    pub early: u64,
    /// Packets that are no media: dropped.
    pub odd: u64,
    /// Packets that could not be sent.
    pub lost: u64,
    /// Sessions that were silent for too long.
    pub silent: u64,
    /// Descriptions refused, for want of ports or of a way.
    pub refused: u64,
}

/// Whoever relays for one engine.
#[derive(Debug)]
pub(crate) enum Relays {
    /// Nobody.
    Nobody,
    /// Ports of our own.
    #[cfg(unix)]
    Own(Relay),
    /// An rtpengine.
    Rtpengine(Rtpengine),
}

impl Relays {
    /// Starts what the options want; answers that take time go into the inbox.
    pub(crate) fn start(
        options: &MediaOptions,
        clock: &Clock,
        inbox: Sender<Inbound>,
        notices: OnNotice,
    ) -> io::Result<Relays> {
        Ok(match options {
            MediaOptions::Nobody => Relays::Nobody,
            #[cfg(unix)]
            MediaOptions::Relay(options) => Relays::Own(Relay::start(options.clone(), clock.clone())?),
            #[cfg(not(unix))]
            MediaOptions::Relay(_) => return Err(io::ErrorKind::Unsupported.into()),
            MediaOptions::Rtpengine(options) => {
                let [a, b, c, d, ..] = crate::seed();
                let name = format!("strowger{a:02x}{b:02x}{c:02x}{d:02x}");
                let address = options.address;
                let say = move |said| match said {
                    Said::Up(true) => notices(Notice::RelayWorks { address }),
                    Said::Up(false) => notices(Notice::RelayFails { address }),
                    Said::Answer(answer) => {
                        // A loop that is gone needs no answer.
                        let _ = inbox.send(Inbound::Answer(answer)).wait();
                    }
                };
                Relays::Rtpengine(Rtpengine::start(options.clone(), name, clock.clone(), say)?)
            }
        })
    }

    /// Asks what a description becomes; an answer that is known at once is given back.
    pub(crate) fn ask(&self, query: Box<MediaQuery>) -> Result<(), Answer> {
        match self {
            Relays::Nobody => {
                let nobody = match is_webrtc(&query.sdp) == query.to_webrtc {
                    true => MediaAnswer::Unavailable,
                    false => MediaAnswer::Unsupported,
                };
                Err(Answer::Media(query.ticket, nobody))
            }
            #[cfg(unix)]
            Relays::Own(relay) => Err(Answer::Media(query.ticket, relay.describe(&query))),
            Relays::Rtpengine(engine) => engine.ask(query),
        }
    }

    /// A session is over.
    pub(crate) fn done(&self, session: u64) {
        match self {
            Relays::Nobody => {}
            #[cfg(unix)]
            Relays::Own(relay) => relay.done(session),
            Relays::Rtpengine(engine) => engine.done(session),
        }
    }

    /// What a relay of our own has done.
    pub(crate) fn stats(&self) -> Option<RelayStats> {
        match self {
            #[cfg(unix)]
            Relays::Own(relay) => Some(relay.stats()),
            _ => None,
        }
    }

    /// What an rtpengine has done.
    pub(crate) fn rtpengine(&self) -> Option<RtpengineStats> {
        match self {
            Relays::Rtpengine(engine) => Some(engine.stats()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
