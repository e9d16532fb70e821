//! An rtpengine instead of a relay of our own: its `ng` protocol, which is a cookie and a dictionary in bencoding, over UDP.
//! In a thread of its own, one question after the other, the same for every runtime.
//!
//! `offer` and `answer` bring a description and give one back, `delete` ends a session, `ping` asks whether it is there. A
//! question is sent again until its answer is there: the cookie lets rtpengine know it. One that does not answer is not
//! asked any more until it answers a `ping`: calls are refused at once. What is to be deleted there is kept so long.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use strowger_core::base::Time;
use strowger_core::door::{Answer, MediaAnswer, MediaQuery, MediaStep};
use strowger_core::wire::sdp::{is_webrtc, lines};

use crate::clock::Clock;

/// Most questions that wait, and most sessions that are to be deleted when an rtpengine is there again.
const QUEUE: usize = 1024;
/// How deep lists and dictionaries may lie in each other.
const DEPTH: usize = 16;

/// Where an rtpengine is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RtpengineOptions {
    /// Its `listen-ng` address.
    pub address: SocketAddr,
    /// How long an answer may take before the question is sent again.
    pub timeout: Duration,
    /// How often it is sent.
    pub tries: u32,
    /// How often it is asked whether it is there; each second while it is not.
    pub ping: Duration,
}

impl RtpengineOptions {
    /// At this address.
    pub fn new(address: SocketAddr) -> RtpengineOptions {
        let (timeout, ping) = (Duration::from_millis(300), Duration::from_secs(10));
        RtpengineOptions { address, timeout, tries: 3, ping }
    }
}

/// What an rtpengine has done for us.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RtpengineStats {
    /// It answers.
    pub up: bool,
    /// Descriptions that it gave.
    pub described: u64,
    /// Descriptions that it refused.
    pub refused: u64,
    /// Questions that it did not answer in time, or was not asked because it answered none before.
    pub unanswered: u64,
    /// Sessions deleted.
    pub deleted: u64,
}

/// What the thread of an rtpengine has to say.
#[derive(Clone, Debug)]
pub enum Said {
    /// What a description becomes.
    Answer(Answer),
    /// It answers from now on, or does not.
    Up(bool),
}

enum Order {
    Describe(Time, Box<MediaQuery>),
    Done(u64),
}

/// The way to an rtpengine.
#[derive(Debug)]
pub struct Rtpengine {
    orders: SyncSender<Order>,
    clock: Clock,
    stats: Arc<Mutex<RtpengineStats>>,
}

fn lock(stats: &Mutex<RtpengineStats>) -> MutexGuard<'_, RtpengineStats> {
    // Numbers are whole whoever panicked.
    stats.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rtpengine {
    /// Starts its thread; `say` is called there. Sessions are named by `name` and their number, so that several servers,
    /// and lives of one, may share an rtpengine.
    pub fn start(
        options: RtpengineOptions,
        name: String,
        clock: Clock,
        say: impl FnMut(Said) + Send + 'static,
    ) -> io::Result<Rtpengine> {
        let any: SocketAddr = match options.address {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(options.address)?;
        socket.set_read_timeout(Some(options.timeout.max(Duration::from_millis(1))))?;
        let (orders, queue) = sync_channel(QUEUE);
        let stats = Arc::<Mutex<RtpengineStats>>::default();
        let line = Line {
            socket,
            options,
            name,
            asked: 0,
            undone: VecDeque::new(),
            clock: clock.clone(),
            stats: stats.clone(),
        };
        thread::Builder::new().name("strowger-ng".into()).spawn(move || line.run(&queue, say))?;
        Ok(Rtpengine { orders, clock, stats })
    }

    /// Asks what a description becomes; the answer if that cannot be asked now.
    pub fn ask(&self, query: Box<MediaQuery>) -> Result<(), Answer> {
        let ticket = query.ticket;
        let sent = self.orders.try_send(Order::Describe(self.clock.now(), query));
        sent.map_err(|_| {
            lock(&self.stats).unanswered += 1;
            Answer::Media(ticket, MediaAnswer::Unavailable)
        })
    }

    /// A session is over.
    pub fn done(&self, session: u64) {
        // One that is lost here ends when its media have been silent for long enough.
        let _ = self.orders.try_send(Order::Done(session));
    }

    /// What it has done.
    pub fn stats(&self) -> RtpengineStats {
        *lock(&self.stats)
    }
}

struct Line {
    socket: UdpSocket,
    options: RtpengineOptions,
    name: String,
    asked: u64,
    /// To be deleted when it is there again.
    undone: VecDeque<u64>,
    clock: Clock,
    stats: Arc<Mutex<RtpengineStats>>,
}

impl Line {
    fn run(mut self, queue: &Receiver<Order>, mut say: impl FnMut(Said)) {
        let mut next = self.ping(true, &mut say);
        loop {
            let wait = next.since(self.clock.now());
            match queue.recv_timeout(wait) {
                Ok(Order::Describe(since, query)) => self.describe(since, &query, &mut say),
                Ok(Order::Done(session)) => self.delete(session, &mut say),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.clock.now() >= next {
                next = self.ping(false, &mut say);
            }
        }
    }

    fn is_up(&self) -> bool {
        lock(&self.stats).up
    }

    /// It answered, or not.
    fn turn(&mut self, up: bool, first: bool, say: &mut impl FnMut(Said)) {
        let was = std::mem::replace(&mut lock(&self.stats).up, up);
        if was != up || (first && !up) {
            say(Said::Up(up));
        }
    }

    /// Is it there? When to ask again.
    fn ping(&mut self, first: bool, say: &mut impl FnMut(Said)) -> Time {
        let tries = if self.is_up() { self.options.tries } else { 1 };
        let up = self.exchange(&dictionary([("command", text("ping"))]), tries).is_some();
        self.turn(up, first, say);
        while self.is_up()
            && let Some(session) = self.undone.pop_front()
        {
            self.delete(session, say);
        }
        let ping =
            if self.is_up() { self.options.ping } else { self.options.ping.min(Duration::from_secs(1)) };
        self.clock.now() + ping
    }

    fn describe(&mut self, since: Time, query: &MediaQuery, say: &mut impl FnMut(Said)) {
        let patience = self.options.timeout * self.options.tries;
        // Who asked so long ago waits no more.
        let late = self.clock.now().since(since) > patience;
        let asked = self.is_up() && !late;
        let request = request(&self.name, query);
        let answer = asked.then(|| self.exchange(&request, self.options.tries));
        if let Some(answer) = &answer {
            self.turn(answer.is_some(), false, say);
        }
        let answer = match answer.flatten() {
            Some(answer) => {
                let answer = description(answer);
                let mut stats = lock(&self.stats);
                match answer {
                    MediaAnswer::Description(_) => stats.described += 1,
                    _ => stats.refused += 1,
                }
                answer
            }
            None => {
                lock(&self.stats).unanswered += 1;
                MediaAnswer::Unavailable
            }
        };
        say(Said::Answer(Answer::Media(query.ticket, answer)));
    }

    fn delete(&mut self, session: u64, say: &mut impl FnMut(Said)) {
        if self.is_up() {
            let id = call_id(&self.name, session);
            let delete = dictionary([("command", text("delete")), ("call-id", text(&id))]);
            let done = self.exchange(&delete, self.options.tries).is_some();
            self.turn(done, false, say);
            if done {
                lock(&self.stats).deleted += 1;
                return;
            }
        }
        if self.undone.len() < QUEUE {
            self.undone.push_back(session);
        }
    }

    fn exchange(&mut self, request: &Bencode, tries: u32) -> Option<Bencode> {
        self.asked += 1;
        let cookie = format!("{}_{}", self.name, self.asked);
        let mut datagram = format!("{cookie} ").into_bytes();
        request.write(&mut datagram);
        let mut buffer = vec![0; usize::from(u16::MAX)];
        for _ in 0..tries.max(1) {
            let until = self.clock.now() + self.options.timeout;
            // Nobody there: the system says so on the next call, and at once.
            let _ = self.socket.send(&datagram);
            // What is late of earlier questions is not taken for its answer.
            while self.clock.now() < until {
                let len = match self.socket.recv(&mut buffer) {
                    Ok(len) => len,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => break,
                };
                let rest = buffer.get(..len).and_then(|all| all.strip_prefix(cookie.as_bytes()));
                if let Some(rest) = rest.and_then(|rest| rest.strip_prefix(b" ")) {
                    return Bencode::read(rest);
                }
            }
        }
        None
    }
}

fn call_id(name: &str, session: u64) -> String {
    format!("{name}-{session}")
}

fn text(text: &str) -> Bencode {
    Bencode::Bytes(text.as_bytes().to_vec())
}

fn list(words: &[&str]) -> Bencode {
    Bencode::List(words.iter().map(|word| text(word)).collect())
}

fn dictionary<const N: usize>(entries: [(&str, Bencode); N]) -> Bencode {
    Bencode::Dictionary(entries.into_iter().map(|(key, value)| (key.as_bytes().to_vec(), value)).collect())
}

fn request(name: &str, query: &MediaQuery) -> Bencode {
    // To rtpengine From is who offered, in the answer too.
    let (command, from, to) = match query.step {
        MediaStep::Offer => ("offer", &query.from, &query.to),
        MediaStep::Answer => ("answer", &query.to, &query.from),
    };
    let mut entries = vec![
        ("command", text(command)),
        ("call-id", text(&call_id(name, query.call))),
        ("from-tag", text(from)),
        ("sdp", Bencode::Bytes(somewhere(query))),
        ("replace", list(&["origin"])),
    ];
    if !to.is_empty() {
        entries.push(("to-tag", text(to)));
    }
    if let Some(near) = query.near {
        entries.push(("address-family", text(if near.is_ipv4() { "IP4" } else { "IP6" })));
    }
    entries.push(("ICE", text(if query.to_webrtc { "force" } else { "remove" })));
    match (is_webrtc(&query.sdp), query.to_webrtc) {
        (true, false) => {
            entries.push(("transport-protocol", text("RTP/AVP")));
            entries.push(("rtcp-mux", list(&["demux"])));
        }
        (false, true) => {
            entries.push(("transport-protocol", text("UDP/TLS/RTP/SAVPF")));
            entries.push(("rtcp-mux", list(&["require"])));
            // RFC 8827 s6.5: keys come by DTLS only.
            entries.push(("SDES", list(&["off"])));
        }
        _ => {}
    }
    Bencode::Dictionary(entries.into_iter().map(|(key, value)| (key.as_bytes().to_vec(), value)).collect())
}

/// The description. A browser that has yet to find its candidates is nowhere (RFC 8840 s4.1.1), which rtpengine takes for
/// a call on hold: it is where its messages come from, until ICE knows better.
fn somewhere(query: &MediaQuery) -> Vec<u8> {
    let Some(source) = query.source.filter(|_| is_webrtc(&query.sdp)) else { return query.sdp.to_vec() };
    let family = if source.is_ipv4() { "IP4" } else { "IP6" };
    let there = format!("c=IN {family} {source}");
    let nowhere = |line: &[u8]| matches!(line, b"c=IN IP4 0.0.0.0" | b"c=IN IP6 ::");
    let shown = lines(&query.sdp).map(|line| if nowhere(line) { there.as_bytes() } else { line });
    shown.collect::<Vec<_>>().join(&b"\r\n"[..])
}

fn description(answer: Bencode) -> MediaAnswer {
    let Bencode::Dictionary(mut entries) = answer else { return MediaAnswer::Unavailable };
    let is_ok = entries.get(&b"result"[..]) == Some(&text("ok"));
    match entries.remove(&b"sdp"[..]) {
        Some(Bencode::Bytes(sdp)) if is_ok => MediaAnswer::Description(sdp.into()),
        _ => MediaAnswer::Unavailable,
    }
}

/// A value in bencoding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bencode {
    /// A number.
    Number(i64),
    /// A string of bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Bencode>),
    /// A dictionary, its keys in order.
    Dictionary(BTreeMap<Vec<u8>, Bencode>),
}

impl Bencode {
    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let bytes = |bytes: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
            out.extend_from_slice(bytes);
        };
        match self {
            Bencode::Number(number) => out.extend_from_slice(format!("i{number}e").as_bytes()),
            Bencode::Bytes(value) => bytes(value, out),
            Bencode::List(items) => {
                out.push(b'l');
                items.iter().for_each(|item| item.write(out));
                out.push(b'e');
            }
            Bencode::Dictionary(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    bytes(key, out);
                    value.write(out);
                }
                out.push(b'e');
            }
        }
    }

    /// All of these bytes as one value; `None` if they are not that.
    pub fn read(mut bytes: &[u8]) -> Option<Bencode> {
        let value = read(&mut bytes, DEPTH)?;
        bytes.is_empty().then_some(value)
    }
}

fn read(bytes: &mut &[u8], depth: usize) -> Option<Bencode> {
    let depth = depth.checked_sub(1)?;
    let (first, rest) = bytes.split_first()?;
    match first {
        b'i' => {
            *bytes = rest;
            let number = until(bytes, b'e')?;
            Some(Bencode::Number(number.parse().ok()?))
        }
        b'l' => {
            *bytes = rest;
            let mut items = Vec::new();
            while !ends(bytes)? {
                items.push(read(bytes, depth)?);
            }
            Some(Bencode::List(items))
        }
        b'd' => {
            *bytes = rest;
            let mut entries = BTreeMap::new();
            while !ends(bytes)? {
                let key = read_bytes(bytes)?;
                entries.insert(key, read(bytes, depth)?);
            }
            Some(Bencode::Dictionary(entries))
        }
        _ => read_bytes(bytes).map(Bencode::Bytes),
    }
}

/// Takes the end of a list or dictionary, if it is there.
fn ends(bytes: &mut &[u8]) -> Option<bool> {
    let (first, rest) = bytes.split_first()?;
    if *first == b'e' {
        *bytes = rest;
    }
    Some(*first == b'e')
}

fn read_bytes(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let len = until(bytes, b':')?.parse::<u16>().ok()?;
    let (value, rest) = bytes.split_at_checked(usize::from(len))?;
    *bytes = rest;
    Some(value.to_vec())
}

fn until<'a>(bytes: &mut &'a [u8], end: u8) -> Option<&'a str> {
    let at = bytes.iter().take(24).position(|b| *b == end)?;
    let (text, rest) = (bytes.get(..at)?, bytes.get(at + 1..)?);
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests;
