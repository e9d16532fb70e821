//! Presence load: watchers subscribe, presentities publish, and each NOTIFY is timed from its PUBLISH and answered.
//! RFC 3856, RFC 3903, RFC 6665.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::run::open;
use super::{CpuTime, Histogram, cpu_of};

/// A run.
#[derive(Clone, Debug)]
pub struct WatchPlan {
    /// The server.
    pub target: SocketAddr,
    /// Its domain.
    pub domain: String,
    /// Presentities, which publish in turn.
    pub presentities: u32,
    /// Watchers of each.
    pub watchers: u32,
    /// PUBLISH requests that are measured.
    pub publishes: u32,
    /// Sockets the watchers share.
    pub sockets: usize,
    /// Rest after each PUBLISH.
    pub gap: Duration,
    /// A NOTIFY that did not come for so long is missing.
    pub patience: Duration,
    /// Processes whose CPU time is counted, with all they started.
    pub pids: Vec<u32>,
}

/// What came of the measured publications. Its `Display` is one line of `name=value` pairs.
#[derive(Clone, Debug, Default)]
pub struct WatchReport {
    /// NOTIFY requests that brought what was published.
    pub notified: u64,
    /// That did not come.
    pub missing: u64,
    /// That came again or brought something else.
    pub stray: u64,
    /// Of the server while publications were measured.
    pub server: CpuTime,
    /// From the sending of a PUBLISH to each NOTIFY.
    pub each: Histogram,
    /// From the sending of a PUBLISH to its last NOTIFY.
    pub last: Histogram,
}

impl fmt::Display for WatchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = |time: Duration| time.as_secs_f64() * 1e6 / (self.notified.max(1) as f64);
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        write!(
            f,
            "notified={} missing={} stray={} server_us={:.2} server_user_us={:.2} server_system_us={:.2} \
             each_p50_us={:.0} each_p99_us={:.0} last_p50_us={:.0} last_max_us={:.0}",
            self.notified,
            self.missing,
            self.stray,
            per(self.server.total()),
            per(self.server.user),
            per(self.server.system),
            us(self.each.at(0.5)),
            us(self.each.at(0.99)),
            us(self.last.at(0.5)),
            us(self.last.max()),
        )
    }
}

/// Subscriptions that wait for their answer at once.
const WINDOW: u32 = 32;

struct Watchers<'p> {
    plan: &'p WatchPlan,
    sockets: Vec<UdpSocket>,
    /// By watcher: the number of the last publication it was told of, counted from one.
    told: Vec<u32>,
    /// By watcher: its SUBSCRIBE was accepted.
    accepted: Vec<bool>,
    /// By presentity: the entity tag of its publication.
    etags: Vec<String>,
    salt: u32,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

/// What a message was.
enum Came {
    /// The NOTIFY of a watcher, and the number in its document; 0 without one.
    Notify(usize, u32),
    /// The answer to the SUBSCRIBE of a watcher.
    Subscribed(usize),
    /// The answer to a PUBLISH.
    Published,
    Nothing,
}

/// Runs a plan. Fails if a socket does, or if the server refuses a subscription or a publication.
pub fn watch(plan: &WatchPlan) -> io::Result<WatchReport> {
    let mut watchers = Watchers::new(plan)?;
    watchers.subscribe()?;
    // The first publication of each presentity is a new one, and not measured.
    for presentity in 0..plan.presentities {
        watchers.publish(presentity, presentity + 1, &mut WatchReport::default())?;
    }
    let mut report = WatchReport::default();
    let cpu = || plan.pids.iter().map(|&pid| cpu_of(pid)).sum::<CpuTime>();
    let before = cpu();
    for n in 0..plan.publishes {
        watchers.publish(n % plan.presentities, plan.presentities + n + 1, &mut report)?;
    }
    report.server = cpu() - before;
    Ok(report)
}

impl<'p> Watchers<'p> {
    fn new(plan: &'p WatchPlan) -> io::Result<Watchers<'p>> {
        let all = (plan.presentities * plan.watchers) as usize;
        Ok(Watchers {
            plan,
            sockets: (0..plan.sockets.clamp(1, all.max(1)))
                .map(|_| open(plan.target))
                .collect::<io::Result<_>>()?,
            told: vec![0; all],
            accepted: vec![false; all],
            etags: vec![String::new(); plan.presentities as usize],
            salt: std::process::id(),
            buffer: vec![0; 65_536],
            out: Vec::new(),
        })
    }

    fn subscribe(&mut self) -> io::Result<()> {
        let all = self.accepted.len();
        let (mut begun, mut accepted, mut told) = (0, 0, 0);
        let mut last = Instant::now();
        let mut first = vec![false; all];
        while accepted < all || told < all {
            if begun < all && begun - accepted < WINDOW as usize {
                self.send_subscribe(begun)?;
                begun += 1;
            }
            let mut came = false;
            for socket in 0..self.sockets.len() {
                while let Some(what) = self.receive(socket)? {
                    came = true;
                    match what {
                        Came::Subscribed(watcher) => {
                            accepted += usize::from(!std::mem::replace(&mut self.accepted[watcher], true));
                        }
                        Came::Notify(watcher, _) => {
                            told += usize::from(!std::mem::replace(&mut first[watcher], true));
                        }
                        Came::Published | Came::Nothing => {}
                    }
                }
            }
            if came {
                last = Instant::now();
            } else if last.elapsed() > self.plan.patience {
                return Err(io::Error::other(format!("{accepted} of {all} subscribed, {told} were told")));
            } else {
                std::thread::yield_now();
            }
        }
        Ok(())
    }

    fn send_subscribe(&mut self, watcher: usize) -> io::Result<()> {
        let at = watcher % self.sockets.len();
        let local = self.sockets[at].local_addr()?;
        let (domain, salt) = (&self.plan.domain, self.salt);
        let presentity = watcher / self.plan.watchers as usize;
        let text = format!(
            "SUBSCRIBE sip:p{presentity}@{domain} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKs{watcher}x{salt};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:w{watcher}@{domain}>;tag=w{watcher}\r\nTo: <sip:p{presentity}@{domain}>\r\n\
             Call-ID: s{watcher}x{salt}\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:w{watcher}@{local}>\r\nEvent: presence\r\n\
             Accept: application/pidf+xml\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
        );
        self.sockets[at].send(text.as_bytes()).map(drop)
    }

    /// One publication, until all were told or patience ends.
    fn publish(&mut self, presentity: u32, number: u32, report: &mut WatchReport) -> io::Result<()> {
        let first = (presentity * self.plan.watchers) as usize;
        let mine = first..first + self.plan.watchers as usize;
        let start = Instant::now();
        self.send_publish(presentity, number)?;
        let (mut told, mut published) = (0, false);
        let mut sockets: VecDeque<usize> = (0..self.sockets.len()).collect();
        while told < mine.len() || !published {
            let Some(at) = sockets.pop_front() else { break };
            sockets.push_back(at);
            let mut came = false;
            while let Some(what) = self.receive(at)? {
                came = true;
                match what {
                    Came::Notify(watcher, n)
                        if n == number && mine.contains(&watcher) && self.told[watcher] != n =>
                    {
                        self.told[watcher] = n;
                        told += 1;
                        report.each.record(start.elapsed());
                    }
                    Came::Notify(..) => report.stray += 1,
                    Came::Published => published = true,
                    Came::Subscribed(_) | Came::Nothing => {}
                }
            }
            if !came && start.elapsed() > self.plan.patience {
                break;
            }
        }
        report.last.record(start.elapsed());
        report.notified += told as u64;
        report.missing += (mine.len() - told) as u64;
        // What still comes now is a repetition.
        let end = Instant::now() + self.plan.gap;
        while Instant::now() < end {
            for at in 0..self.sockets.len() {
                while let Some(what) = self.receive(at)? {
                    report.stray += u64::from(matches!(what, Came::Notify(..)));
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn send_publish(&mut self, presentity: u32, number: u32) -> io::Result<()> {
        let local = self.sockets[0].local_addr()?;
        let (domain, salt) = (&self.plan.domain, self.salt);
        let etag = &self.etags[presentity as usize];
        let known = if etag.is_empty() { String::new() } else { format!("SIP-If-Match: {etag}\r\n") };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
             entity=\"sip:p{presentity}@{domain}\"><tuple id=\"a\"><status><basic>open</basic></status>\
             <note>state {number:08}</note></tuple></presence>\r\n"
        );
        let text = format!(
            "PUBLISH sip:p{presentity}@{domain} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKp{number}x{salt};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:p{presentity}@{domain}>;tag=p\r\nTo: <sip:p{presentity}@{domain}>\r\n\
             Call-ID: p{presentity}x{salt}\r\nCSeq: {number} PUBLISH\r\nEvent: presence\r\n{known}Expires: 3600\r\n\
             Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.sockets[0].send(text.as_bytes()).map(drop)
    }

    /// Takes one message, and answers a NOTIFY. `None` if there is none.
    fn receive(&mut self, at: usize) -> io::Result<Option<Came>> {
        let len = match self.sockets[at].recv(&mut self.buffer) {
            Ok(len) => len,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
        };
        let Ok(text) = std::str::from_utf8(&self.buffer[..len]) else { return Ok(Some(Came::Nothing)) };
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        if head.starts_with("NOTIFY ") {
            self.out.clear();
            self.out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
            for line in head.lines().skip(1) {
                if ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)) {
                    self.out.extend_from_slice(line.as_bytes());
                    self.out.extend_from_slice(b"\r\n");
                }
            }
            self.out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
            let came = value(head, "Call-ID").and_then(watcher).filter(|w| *w < self.told.len());
            let number =
                body.split_once("state ").and_then(|(_, rest)| rest.get(..8)?.parse().ok()).unwrap_or(0);
            self.sockets[at].send(&self.out)?;
            return Ok(Some(came.map_or(Came::Nothing, |watcher| Came::Notify(watcher, number))));
        }
        let status = head.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)).unwrap_or_default();
        let cseq = value(head, "CSeq").unwrap_or_default();
        if status.starts_with('1') {
            return Ok(Some(Came::Nothing));
        }
        if !status.starts_with('2') {
            return Err(io::Error::other(format!("the server refuses:\n{head}")));
        }
        let call_id = value(head, "Call-ID").unwrap_or_default();
        if cseq.ends_with("SUBSCRIBE") {
            return Ok(Some(watcher(call_id).map_or(Came::Nothing, Came::Subscribed)));
        }
        let presentity =
            call_id.strip_prefix('p').and_then(|rest| rest.split_once('x')?.0.parse::<usize>().ok());
        if let (Some(etag), Some(presentity)) = (value(head, "SIP-ETag"), presentity) {
            self.etags[presentity] = etag.to_owned();
        }
        Ok(Some(Came::Published))
    }
}

/// The watcher whose SUBSCRIBE had this Call-ID.
fn watcher(call_id: &str) -> Option<usize> {
    call_id.strip_prefix('s')?.split_once('x')?.0.parse().ok()
}

fn value<'m>(head: &'m str, name: &str) -> Option<&'m str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
