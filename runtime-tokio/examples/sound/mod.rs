//! Sound of one call: G.711 µ-law (ITU-T G.711, RFC 3551 s4.5.14) in RTP packets (RFC 3550 s5.1) of 20 ms, from and to
//! WAV files of 8,000 samples of 16 bits a second.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Samples in a packet of 20 ms.
const FRAME: usize = 160;

/// The payload type of PCMU.
const PCMU: u8 = 0;

/// Most that is recorded: an hour.
const MOST: usize = 8_000 * 3_600;

/// The two directions of a call's sound.
pub(crate) struct Sound {
    socket: UdpSocket,
    addr: SocketAddr,
    towards: Option<SocketAddr>,
    clock: Interval,
    play: std::vec::IntoIter<i16>,
    /// What is heard while it plays is of no interest.
    speaks_first: bool,
    heard: Vec<i16>,
    sequence: u16,
    timestamp: u32,
    source: u32,
    version: std::cell::Cell<u32>,
}

impl Sound {
    /// A socket at this address; silence without a file to play.
    pub(crate) fn open(ip: IpAddr, play: Option<&Path>) -> super::Result<Sound> {
        Ok(Sound::playing(ip, play.map(read_wav).transpose()?.unwrap_or_default())?)
    }

    /// The same with these samples to play, and then silence.
    pub(crate) fn playing(ip: IpAddr, samples: Vec<i16>) -> std::io::Result<Sound> {
        let socket = std::net::UdpSocket::bind((ip, 0))?;
        socket.set_nonblocking(true)?;
        let addr = socket.local_addr()?;
        let mut clock = interval(Duration::from_millis(20));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let seed = strowger_tokio::shell::seed();
        let [a, b, c, d, e, f, ..] = seed;
        Ok(Sound {
            socket: UdpSocket::from_std(socket)?,
            addr,
            towards: None,
            clock,
            play: samples.into_iter(),
            speaks_first: false,
            heard: Vec::new(),
            // RFC 3550 s5.1: unguessable beginnings.
            sequence: u16::from_be_bytes([a, b]),
            timestamp: 0,
            source: u32::from_be_bytes([c, d, e, f]),
            version: std::cell::Cell::new(0),
        })
    }

    /// What is heard is kept from when all is played.
    pub(crate) fn speak_first(mut self) -> Sound {
        self.speaks_first = true;
        self
    }

    /// Is all played?
    pub(crate) fn has_played(&self) -> bool {
        self.play.len() == 0
    }

    /// What was heard.
    pub(crate) fn heard(&self) -> &[i16] {
        &self.heard
    }

    /// An offer, or an answer (RFC 4566, RFC 3264).
    pub(crate) fn description(&self, direction: &str) -> String {
        self.version.set(self.version.get() + 1);
        let (ip, port, version) = (self.addr.ip(), self.addr.port(), self.version.get());
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        format!(
            "v=0\r\no=- 1 {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP {PCMU}\r\na=rtpmap:{PCMU} PCMU/8000\r\na=ptime:20\r\na={direction}\r\n"
        )
    }

    /// Where the other side wants to hear it.
    pub(crate) fn towards(&mut self, addr: Option<SocketAddr>) {
        self.towards = addr.or(self.towards);
    }

    /// Sends and receives for as long as it is waited for.
    pub(crate) async fn flow(&mut self) -> Infallible {
        let mut packet = [0; 1500];
        loop {
            tokio::select! {
                _ = self.clock.tick() => self.send().await,
                received = self.socket.recv_from(&mut packet) => {
                    if let Ok((len, _)) = received {
                        self.hear(packet.get(..len).unwrap_or_default());
                    }
                }
            }
        }
    }

    async fn send(&mut self) {
        let Some(towards) = self.towards else { return };
        let mut packet = Vec::with_capacity(12 + FRAME);
        packet.extend([0x80, PCMU]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.source.to_be_bytes());
        packet.extend((0..FRAME).map(|_| encode(self.play.next().unwrap_or(0))));
        (self.sequence, self.timestamp) =
            (self.sequence.wrapping_add(1), self.timestamp.wrapping_add(FRAME as u32));
        // A lost packet is 20 ms of silence.
        let _ = self.socket.send_to(&packet, towards).await;
    }

    /// Takes what is PCMU, in the order it comes.
    fn hear(&mut self, packet: &[u8]) {
        let [first, second, _, _, _, _, _, _, _, _, _, _, payload @ ..] = packet else { return };
        let plain = *first & 0xf0 == 0x80 && *second & 0x7f == PCMU;
        if self.speaks_first && !self.has_played() {
            return;
        }
        let sources = usize::from(*first & 0x0f) * 4;
        if plain && self.heard.len() < MOST {
            self.heard.extend(payload.get(sources..).unwrap_or_default().iter().map(|&byte| decode(byte)));
        }
    }

    /// Writes what was heard.
    pub(crate) fn save(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, wav(&self.heard))
    }
}

/// Where a session description wants sound to go to.
pub(crate) fn address_in(sdp: &[u8]) -> Option<SocketAddr> {
    let text = String::from_utf8_lossy(sdp);
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let ip = value("c=IN IP4 ").or_else(|| value("c=IN IP6 "))?.parse().ok()?;
    let port = value("m=audio ")?.split(' ').next()?.parse().ok().filter(|port| *port != 0)?;
    Some(SocketAddr::new(ip, port))
}

/// ITU-T G.711, µ-law.
fn encode(sample: i16) -> u8 {
    const BIAS: i32 = 0x84;
    const CLIP: i32 = 32_635;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    let exponent = magnitude.ilog2() - 7;
    let mantissa = magnitude >> (exponent + 3) & 0x0f;
    !(sign | (exponent as u8) << 4 | mantissa as u8)
}

/// The other way.
fn decode(byte: u8) -> i16 {
    let byte = !byte;
    let exponent = byte >> 4 & 0x07;
    let magnitude = (((i32::from(byte & 0x0f) << 3) + 0x84) << exponent) - 0x84;
    (if byte & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}

pub(crate) fn read_wav(path: &Path) -> super::Result<Vec<i16>> {
    let bytes = std::fs::read(path)?;
    samples(&bytes)
        .ok_or_else(|| format!("{}: not a WAV file of 8000 Hz, mono, 16 bits", path.display()).into())
}

/// The samples of a WAV file; `None` if it is none of ours.
pub(crate) fn samples(bytes: &[u8]) -> Option<Vec<i16>> {
    let mut rest = bytes.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
    let mut fits = false;
    loop {
        let (name, len) = (rest.get(..4)?, rest.get(4..8)?);
        let len = u32::from_le_bytes(len.try_into().ok()?) as usize;
        let chunk = rest.get(8..8 + len)?;
        match name {
            // PCM, one channel, 8000 samples a second, 16 bits.
            b"fmt " => {
                fits = chunk.get(..8) == Some(&[1, 0, 1, 0, 0x40, 0x1f, 0, 0]) && chunk.get(14) == Some(&16)
            }
            b"data" if fits => {
                return Some(
                    chunk.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect(),
                );
            }
            _ => {}
        }
        rest = rest.get(8 + len + len % 2..)?;
    }
}

/// A WAV file of these samples.
pub(crate) fn wav(samples: &[i16]) -> Vec<u8> {
    let len = samples.len() as u32 * 2;
    let mut file = Vec::with_capacity(44 + samples.len() * 2);
    file.extend(b"RIFF");
    file.extend((36 + len).to_le_bytes());
    file.extend(b"WAVEfmt ");
    for number in [16u32, 1 | 1 << 16, 8_000, 16_000, 2 | 16 << 16] {
        file.extend(number.to_le_bytes());
    }
    file.extend(b"data");
    file.extend(len.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}
