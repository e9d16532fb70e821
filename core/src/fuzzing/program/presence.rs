//! Programs with presence: subscriptions, publications, answers to NOTIFY, decisions. RFC 6665, RFC 3903, RFC 3857.

use std::collections::BTreeMap;

use arbitrary::Arbitrary;

use super::ops::{Op, Span};
use super::world::{Host, USERS, remote};
use crate::door::{Input, Request, Transmit};
use crate::wire::{Event, Header, Kind, Message, Method, SubscriptionState};

/// One operation of a program with presence.
#[derive(Clone, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum Step {
    Base(Op),
    Subscribe {
        watcher: u8,
        user: u8,
        package: u8,
        slot: u8,
        expires: Span,
    },
    /// In the dialog of an earlier one; with an id it is one more subscription there.
    Resubscribe {
        back: u8,
        package: u8,
        id: u8,
        expires: Span,
    },
    Publish {
        user: u8,
        slot: u8,
        kind: u8,
        document: bool,
        expires: Span,
    },
    /// The newest NOTIFY.
    Notified {
        how: u8,
    },
    Decide {
        user: u8,
        watcher: u8,
        allow: bool,
    },
    Wait(Span),
}

/// A dialog as its watcher knows it.
#[derive(Clone, Debug)]
struct Watch {
    watcher: u8,
    user: u8,
    slot: u8,
    call: u64,
    tag: String,
    cseq: u32,
}

/// The NOTIFY requests of a dialog.
#[derive(Default)]
struct Seen {
    /// Bodies by CSeq, for what is sent again.
    told: BTreeMap<u32, Vec<u8>>,
    /// Those of earlier dialogs of the same names.
    past: BTreeMap<u32, Vec<u8>>,
    /// The CSeq of the SUBSCRIBE that made it.
    made_by: Option<u32>,
    /// That SUBSCRIBE was answered since the last NOTIFY. If it came once more after its transaction and all it made, over
    /// TCP, it made a dialog of the same names, with numbers of its own.
    again: bool,
}

/// What watchers and publishers remember.
#[derive(Default)]
pub(super) struct Watching {
    dialogs: Vec<Watch>,
    etags: BTreeMap<u8, String>,
    notifies: Vec<Transmit>,
    /// By Call-ID and our tag.
    seen: BTreeMap<Vec<u8>, Seen>,
    numbers: u64,
}

const PACKAGES: [&str; 3] = ["presence", "presence.winfo", "reg"];

impl Host {
    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Base(op) => self.run(op),
            Step::Wait(span) => self.run(&Op::Wait(*span)),
            Step::Subscribe { watcher, user, package, slot, expires } => {
                self.watching.numbers += 1;
                let (watcher, user, call) = (watcher % USERS, user % USERS, self.watching.numbers);
                let watch = Watch { watcher, user, slot: *slot, call, tag: String::new(), cseq: 1 };
                let event = PACKAGES[usize::from(package % 3)];
                self.watching.dialogs.push(watch.clone());
                self.subscribe(&watch, event, *expires);
            }
            Step::Resubscribe { back, package, id, expires } => {
                let dialogs = &mut self.watching.dialogs;
                let Some(watch) = dialogs.iter_mut().rev().nth(usize::from(*back % 8)) else { return };
                watch.cseq += 1;
                let watch = watch.clone();
                let mut event = PACKAGES[usize::from(package % 3)].to_owned();
                if id % 3 != 0 {
                    event.push_str(&format!(";id={}", id % 3));
                }
                self.subscribe(&watch, &event, *expires);
            }
            Step::Publish { user, slot, kind, document, expires } => {
                self.publish((user % USERS, *slot), *kind, *document, *expires);
            }
            Step::Notified { how } => self.answer_notify(*how),
            Step::Decide { user, watcher, allow } => {
                let aor = |user: u8| format!("u{}@example.com", user % USERS).into();
                let (aor, watcher) = (aor(*user), aor(*watcher));
                self.host(Request::DecideWatcher { aor, watcher, allow: *allow });
            }
        }
    }

    fn subscribe(&mut self, watch: &Watch, event: &str, expires: Span) {
        let Watch { watcher, user, slot, call, tag, cseq } = watch;
        let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
        let m = format!(
            "SUBSCRIBE sip:u{user}@example.com SIP/2.0\r\nVia: {};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:u{watcher}@example.com>;tag=w\r\nTo: <sip:u{user}@example.com>{tag}\r\nCall-ID: s{call}\r\n\
             CSeq: {cseq} SUBSCRIBE\r\nContact: <sip:w@{}>\r\nEvent: {event}\r\nExpires: {}\r\n\
             Content-Length: 0\r\n\r\n",
            self.via(*slot),
            remote(*slot),
            expires.secs(),
        );
        self.send(*slot, m.as_bytes());
    }

    fn publish(&mut self, (user, slot): (u8, u8), kind: u8, document: bool, expires: Span) {
        self.watching.numbers += 1;
        let mut more = String::new();
        let (etag, body) = (!kind.is_multiple_of(4), kind.is_multiple_of(2));
        if let Some(etag) = self.watching.etags.get(&user).filter(|_| etag) {
            more = format!("SIP-If-Match: {etag}\r\n");
        }
        let basic = if document { "open" } else { "closed" };
        let body = if body {
            more.push_str("Content-Type: application/pidf+xml\r\n");
            format!(
                "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:u{user}@example.com\">\
                 <tuple id=\"a\"><status><basic>{basic}</basic></status></tuple></presence>"
            )
        } else {
            String::new()
        };
        let expires = if kind % 4 == 3 { 0 } else { expires.secs() };
        let number = self.watching.numbers;
        let m = format!(
            "PUBLISH sip:u{user}@example.com SIP/2.0\r\nVia: {};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:u{user}@example.com>;tag=p\r\nTo: <sip:u{user}@example.com>\r\nCall-ID: p{user}\r\n\
             CSeq: {number} PUBLISH\r\nEvent: presence\r\nExpires: {expires}\r\n{more}Content-Length: {}\r\n\r\n{body}",
            self.via(slot),
            body.len(),
        );
        self.send(slot, m.as_bytes());
    }

    fn via(&self, slot: u8) -> String {
        let transport = if slot.is_multiple_of(4) { "UDP" } else { "TCP" };
        format!("SIP/2.0/{transport} {};branch=z9hG4bKe{}", remote(slot), self.steps)
    }

    /// Answers the newest NOTIFY, or never does.
    fn answer_notify(&mut self, how: u8) {
        let Some(sent) = self.watching.notifies.pop() else { return };
        let status = match how % 4 {
            0 => "200 OK",
            1 => "481 Gone",
            2 => "503 Busy",
            _ => return,
        };
        let mut answer = format!("SIP/2.0 {status}\r\n");
        for line in String::from_utf8_lossy(&sent.payload).split("\r\n").take_while(|line| !line.is_empty()) {
            if ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)) {
                answer.push_str(line);
                answer.push_str("\r\n");
            }
        }
        answer.push_str("Content-Length: 0\r\n\r\n");
        let (flow, remote, local) = (sent.flow, sent.remote, sent.local);
        self.feed(Input::Message { flow, remote, local, data: answer.as_bytes() });
    }

    /// A NOTIFY is whole and its number rises; what an answer says is remembered.
    pub(super) fn hear(&mut self, sent: &Transmit, msg: Message<'_>) {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let (call, cseq) = (msg.call_id().unwrap_or_default(), msg.cseq().expect("CSeq is written"));
        match msg.kind() {
            Kind::Response { status: 200..=299, .. } => {
                if cseq.method == Method::Publish
                    && let Some(etag) = msg.header(Header::SipEtag)
                    && let Some(user) = call.get(1).and_then(|digit| digit.checked_sub(b'0'))
                {
                    self.watching.etags.insert(user, text(etag));
                }
                let mut dialogs = self.watching.dialogs.iter_mut();
                if cseq.method != Method::Subscribe {
                    return;
                }
                let tag = msg.to().ok().and_then(|to| to.tag()).unwrap_or_default();
                if let Some(watch) = dialogs.find(|watch| format!("s{}", watch.call).as_bytes() == call) {
                    watch.tag = text(tag);
                }
                let seen = self.watching.seen.entry([call, b" ", tag].concat()).or_default();
                seen.again |= *seen.made_by.get_or_insert(cseq.number) == cseq.number;
            }
            Kind::Request { .. } if cseq.method == Method::Notify => {
                Event::parse(msg.header(Header::Event).expect("a NOTIFY has Event")).expect("a good Event");
                let state = msg.header(Header::SubscriptionState).expect("a NOTIFY has Subscription-State");
                SubscriptionState::parse(state).expect("a good Subscription-State");
                let tag = msg.from().ok().and_then(|from| from.tag()).expect("a dialog has tags");
                let seen = self.watching.seen.entry([call, b" ", tag].concat()).or_default();
                if let Some(before) = seen.told.get(&cseq.number).or_else(|| seen.past.get(&cseq.number)) {
                    assert_eq!(before, msg.body(), "what is sent again is the same");
                    return;
                }
                let last = seen.told.keys().next_back().copied();
                if std::mem::take(&mut seen.again) && last.is_some_and(|last| last > cseq.number) {
                    seen.past.append(&mut seen.told);
                } else {
                    assert!(last.is_none_or(|last| last < cseq.number), "numbers rise in a dialog");
                }
                seen.told.insert(cseq.number, msg.body().to_vec());
                self.watching.notifies.push(sent.clone());
            }
            _ => {}
        }
    }
}
