//! Any header fields of events: Event, Subscription-State, Accept, SIP-If-Match, Allow-Events, Expires, in a SUBSCRIBE and
//! in a PUBLISH to a whole engine. RFC 6665, RFC 3903, RFC 6446.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Engine;
use crate::base::Time;
use crate::config::{AuthPolicy, Config, MessageSummaryConfig, PresenceConfig};
use crate::door::{Command, FlowId, Input, Transport};
use crate::wire::{self, Bounds, Event, Header, Kind, Layout, SubscriptionState};

const START: Time = Time::from_secs(1_790_000_000);
const UDP: FlowId = FlowId(2);
const BODY: &str = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\">\
                    <tuple id=\"a\"><status><basic>open</basic></status></tuple></presence>";

/// Each request gets one final answer, what follows it is well-formed and fits to it, and nothing is left in the end.
pub fn event_headers(data: &[u8]) {
    // The lines as they came; an empty one would end the head.
    let lines: Vec<&[u8]> =
        data.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    let lines: Vec<&[u8]> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    let mut more = lines.join(&b"\r\n"[..]);
    if !more.is_empty() {
        more.extend_from_slice(b"\r\n");
    }
    let mut host = Host::new();
    host.request("SUBSCRIBE", "", &more, "");
    let tag = host.tag.clone();
    host.request("SUBSCRIBE", &tag, &more, "");
    host.request("PUBLISH", "", &more, BODY);
    host.end();
}

struct Host {
    engine: Engine,
    now: Time,
    number: u32,
    tag: String,
}

impl Host {
    fn new() -> Host {
        let mut config = Config::new("example.com");
        (config.policies.subscribe, config.policies.publish) = (AuthPolicy::Open, AuthPolicy::Open);
        config.presence = Some(PresenceConfig::default());
        config.message_summary = Some(MessageSummaryConfig::default());
        let settings = config.validate().expect("a whole configuration");
        let mut engine = Engine::new(settings, [7; 32], START);
        let local = "192.0.2.1:5060".parse().expect("an address");
        let (transport, remote) = (Transport::Udp, None);
        engine.handle(START, Input::FlowUp { flow: UDP, listener: 0, transport, local, remote, peer: None });
        Host { engine, now: START, number: 0, tag: String::new() }
    }

    fn request(&mut self, method: &str, tag: &str, more: &[u8], body: &str) {
        self.number += 1;
        let number = self.number;
        let to = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/pidf+xml\r\n" };
        let mut m = format!(
            "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=f\r\nTo: <sip:bob@example.com>{to}\r\n\
             Call-ID: {}\r\nCSeq: {number} {method}\r\nContact: <sip:bob@192.0.2.9>\r\n{kind}Content-Length: {}\r\n",
            method.len(),
            body.len()
        )
        .into_bytes();
        m.extend_from_slice(more);
        m.extend_from_slice(b"\r\n");
        m.extend_from_slice(body.as_bytes());
        let mut layout = Layout::new();
        let bounds = Bounds { message_bytes: 65_535, headers: 200 };
        let event = wire::parse(&m, &mut layout, &bounds).ok().and_then(|msg| {
            let event = Event::parse(msg.header(Header::Event)?).ok()?;
            Some((event.package.to_vec(), event.id().map(<[u8]>::to_vec)))
        });
        self.feed(&m);
        let finals = self.drain(event.as_ref());
        assert!(finals <= 1, "one final answer");
    }

    fn feed(&mut self, data: &[u8]) {
        let remote: SocketAddr = "192.0.2.9:5060".parse().expect("an address");
        let local = "192.0.2.1:5060".parse().expect("an address");
        self.engine.handle(self.now, Input::Message { flow: UDP, remote, local, data });
    }

    /// Looks at what the engine says, and answers each NOTIFY; how many final responses there were.
    fn drain(&mut self, event: Option<&(Vec<u8>, Option<Vec<u8>>)>) -> usize {
        let mut finals = 0;
        while let Some(command) = self.engine.poll_command() {
            let Command::Transmit(transmit) = command else { continue };
            let mut layout = Layout::new();
            let bounds = Bounds { message_bytes: 65_535, headers: 200 };
            let Ok(msg) = wire::parse(&transmit.payload, &mut layout, &bounds) else {
                panic!("unreadable: {}", String::from_utf8_lossy(&transmit.payload));
            };
            if let Kind::Response { status, .. } = msg.kind() {
                finals += usize::from(status >= 200);
                let to = msg.to().expect("a response has To");
                self.tag = String::from_utf8_lossy(to.tag().unwrap_or_default()).into_owned();
                continue;
            }
            let state = msg.header(Header::SubscriptionState).expect("a NOTIFY has it");
            SubscriptionState::parse(state).expect("a good Subscription-State");
            let told =
                Event::parse(msg.header(Header::Event).expect("a NOTIFY has it")).expect("a good Event");
            if let Some((package, id)) = event {
                assert_eq!(told.package, package);
                assert_eq!(told.id(), id.as_deref());
            }
            let mut answer = b"SIP/2.0 200 OK\r\n".to_vec();
            for line in msg.lines().filter(|line| {
                matches!(line.header, Header::Via | Header::From | Header::To | Header::CallId | Header::Cseq)
            }) {
                answer.extend_from_slice(line.raw());
            }
            answer.extend_from_slice(b"Content-Length: 0\r\n\r\n");
            self.feed(&answer);
        }
        finals
    }

    fn end(mut self) {
        let end = self.now + Duration::from_secs(20_000);
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at < end) {
            self.now = self.now.max(at);
            self.engine.handle(self.now, Input::Timeout);
            self.drain(None);
        }
        let sizes = self.engine.sizes();
        assert_eq!((sizes.subscriptions, sizes.publications, sizes.presentities), (0, 0, 0));
        assert_eq!((sizes.transactions, sizes.timers), (0, 0));
    }
}
