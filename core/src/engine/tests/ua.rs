//! User agents through the engine's doors, against a server that says what the test wants: every challenge, every answer in
//! every state.

use super::calls::{Sent, response};
use super::*;
use crate::config::ListenerConfig;
use crate::door::{UaAccount, UaCallRequest as Do, UaCallStep, UaRegistration, UaRequest, UaStep, UaView};

pub(super) const SERVER: &str = "192.0.2.77:5060";
pub(super) const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// One user agent, and what it sent and told since the last step.
#[derive(Clone)]
pub(super) struct Phone {
    pub(super) host: Host,
    pub(super) sent: Vec<Sent>,
    pub(super) told: Vec<UaStep>,
    pub(super) last: Option<ReplyBody>,
}

pub(super) fn account() -> UaAccount {
    let mut account = UaAccount::new("sip:alice@example.org");
    account.password = Some(Secret("wonderland".into()));
    account.servers = vec![format!("sip:{SERVER}").into()];
    account
}

impl Phone {
    pub(super) fn new() -> Phone {
        Phone::with(account())
    }

    pub(super) fn with(account: UaAccount) -> Phone {
        let mut config = Config::new("client.invalid");
        let listen = |transport| ListenerConfig {
            transport,
            addr: addr("192.0.2.1:5060"),
            advertised: None,
            algorithms: None,
        };
        config.listeners = [Transport::Udp, Transport::Tcp].map(listen).into();
        let mut phone = Phone { host: Host::new(config), sent: Vec::new(), told: Vec::new(), last: None };
        phone.does(UaRequest::Open(Box::new(account)));
        phone
    }

    fn take(&mut self, commands: Vec<Command>) {
        (self.sent, self.told) = Default::default();
        for command in commands {
            match command {
                Command::Transmit(t) => {
                    let text = String::from_utf8_lossy(&t.payload).into_owned();
                    self.sent.push(Sent { to: t.remote.to_string(), text });
                }
                Command::Tell(Event::Ua(event)) => self.told.push(event.step),
                Command::Reply(reply) => self.last = Some(reply.body),
                _ => {}
            }
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let commands = self.host.input(input);
        self.take(commands);
    }

    pub(super) fn does(&mut self, request: UaRequest) {
        self.input(Input::Host { reply: Some(1), request: Request::Ua { ua: 3, request } });
    }

    pub(super) fn view(&mut self) -> UaView {
        let (sent, told) = (self.sent.clone(), self.told.clone());
        self.does(UaRequest::View);
        (self.sent, self.told) = (sent, told);
        match self.last.take() {
            Some(ReplyBody::Ua(view)) => *view,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn hears(&mut self, text: &str) {
        let (remote, local) = (addr(SERVER), addr("192.0.2.1:5060"));
        self.input(Input::Message { flow: UDP, remote, local, data: text.as_bytes() });
    }

    pub(super) fn waits(&mut self, seconds: u64) {
        let commands = self.host.wait(Duration::from_secs(seconds));
        self.take(commands);
    }

    /// The last request that went out.
    pub(super) fn request(&self) -> Sent {
        let is_request = |sent: &&Sent| !sent.text.starts_with("SIP/2.0");
        self.sent.iter().rev().find(is_request).cloned().unwrap_or_else(|| panic!("nothing was sent"))
    }

    /// That request is answered so, with these lines.
    pub(super) fn answered(&mut self, request: &Sent, status: &str, lines: &str) {
        let text = response(request, status, "s", "", "").replace("CSeq: ", &format!("{lines}CSeq: "));
        self.hears(&text);
    }

    fn registering() -> (Phone, Sent) {
        let mut phone = Phone::new();
        phone.does(UaRequest::Register);
        let register = phone.request();
        (phone, register)
    }

    pub(super) fn registered() -> Phone {
        let (mut phone, register) = Phone::registering();
        let contact = register.one("Contact").to_owned();
        phone.answered(&register, "200 OK", &format!("Contact: {contact};expires=3600\r\n"));
        assert!(phone.view().is_registered());
        phone
    }

    fn state(&mut self) -> String {
        word(&self.view().registrations[0].state)
    }
}

/// The first word of what Debug shows.
pub(super) fn word(value: &impl core::fmt::Debug) -> String {
    format!("{value:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
}

#[test]
fn every_challenge_that_can_be_answered_is() {
    let digest = |rest: &str| format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"{rest}\r\n");
    let cases = [
        ("as in RFC 2069", "401", digest("")),
        ("MD5", "401", digest(", algorithm=MD5, qop=\"auth\", opaque=\"o\"")),
        (
            "SHA-256 before MD5",
            "401",
            digest(", algorithm=SHA-256, qop=\"auth,auth-int\"") + &digest(", qop=\"auth\""),
        ),
        ("SHA-512-256", "401", digest(", algorithm=SHA-512-256, qop=\"auth\"")),
        ("the body as well", "401", digest(", qop=\"auth-int\"")),
        (
            "one that nobody knows before one we do",
            "401",
            digest(", algorithm=SHA-3, qop=\"auth\"") + &digest(""),
        ),
        ("a proxy", "407", digest(", qop=\"auth\"").replace("WWW-", "Proxy-")),
        ("both at once", "401", digest("") + &digest("").replace("WWW-", "Proxy-")),
        ("nothing we know", "401", digest(", algorithm=SHA-3")),
        ("a token we do not have", "401", "WWW-Authenticate: Bearer realm=\"r\"\r\n".to_owned()),
        ("nothing", "401", String::new()),
    ];
    let mut shown = String::new();
    for (what, status, lines) in cases {
        let (mut phone, register) = Phone::registering();
        phone.answered(&register, &format!("{status} Unauthorized"), &lines);
        let _ = writeln!(shown, "{what}:");
        for sent in &phone.sent {
            for name in ["Authorization", "Proxy-Authorization"] {
                sent.all(name).iter().for_each(|value| _ = writeln!(shown, "  {name}: {value}"));
            }
        }
        let _ = writeln!(shown, "  {:?}", phone.view().registrations[0].state);
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_nonce_that_grew_old_is_followed_and_wrong_credentials_are_not_said_again() {
    let challenge = |nonce: u32, rest: &str| {
        format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"{rest}\r\n")
    };
    let (mut phone, register) = Phone::registering();
    phone.answered(&register, "401 Unauthorized", &challenge(1, ""));
    for nonce in 2..4 {
        let register = phone.request();
        phone.answered(&register, "401 Unauthorized", &challenge(nonce, ", stale=true"));
        assert!(phone.request().one("Authorization").contains(&format!("nonce=\"{nonce}\"")));
    }
    let register = phone.request();
    phone.answered(&register, "401 Unauthorized", &challenge(5, ""));
    assert!(phone.sent.is_empty());
    assert_eq!(phone.view().registrations[0].state, UaRegistration::Failed { status: 401 });
    // A proxy on the way asks as well, behind the server: both are told, each what it asked for.
    let (mut phone, register) = Phone::registering();
    phone.answered(&register, "407 Proxy", &challenge(1, "").replace("WWW-", "Proxy-"));
    let register = phone.request();
    phone.answered(&register, "401 Unauthorized", &challenge(2, ""));
    let register = phone.request();
    assert!(register.one("Authorization").contains("nonce=\"2\""));
    assert!(register.one("Proxy-Authorization").contains("nonce=\"1\""));
    // A refresh may find that its nonce has grown old without a word: once.
    let mut phone = Phone::registered();
    phone.waits(3240);
    let register = phone.request();
    phone.answered(&register, "401 Unauthorized", &challenge(7, ""));
    let register = phone.request();
    phone.answered(&register, "200 OK", "Expires: 600\r\n");
    phone.waits(540);
    let register = phone.request();
    assert!(register.one("Authorization").contains("nc=00000002"));
    phone.answered(&register, "401 Unauthorized", &challenge(8, ""));
    assert!(phone.request().one("Authorization").contains("nonce=\"8\""));
}

#[test]
fn what_the_registrar_says_is_heeded() {
    let (mut phone, register) = Phone::registering();
    let contact = register.one("Contact").to_owned();
    let lines = format!(
        "Contact: <sip:other@192.0.2.99>;expires=5, {contact};expires=1800;pub-gruu=\"sip:alice@example.org;gr=x\"\r\n\
         Service-Route: <sip:one.example.org;lr>, <sip:two.example.org;lr>\r\n"
    );
    phone.answered(&register, "200 OK", &lines);
    let view = phone.view();
    let until = phone.host.now + Duration::from_secs(1800);
    assert_eq!(view.registrations[0].state, UaRegistration::Registered { until });
    assert_eq!(&*view.registrations[0].gruu, "sip:alice@example.org;gr=x");
    // RFC 3608 s6.1: what is no REGISTER goes along it.
    let text = UaRequest::Message {
        to: "sip:bob@example.org".into(),
        kind: "text/plain".into(),
        body: b"x"[..].into(),
    };
    phone.does(text);
    assert_eq!(phone.request().one("Route"), "<sip:one.example.org;lr>, <sip:two.example.org;lr>");
    phone.does(UaRequest::Call(Do::Begin { to: "sip:bob@example.org".into(), sdp: SDP.as_bytes().into() }));
    assert_eq!(phone.request().one("Route"), "<sip:one.example.org;lr>, <sip:two.example.org;lr>");
    phone.waits(1620);
    assert_eq!(
        phone.sent.iter().find(|s| s.first().starts_with("REGISTER")).map(|s| s.one("Route")),
        Some("")
    );
    // RFC 5626 s11.6, RFC 3261 s21.4.15: a way that knows nothing of it.
    let mut account = account();
    account.instance = "urn:uuid:0".into();
    let mut phone = Phone::with(account);
    phone.does(UaRequest::Register);
    let register = phone.request();
    assert_eq!(register.one("Supported"), "path, outbound, gruu");
    phone.answered(&register, "439 First Hop Lacks Outbound Support", "");
    let register = phone.request();
    assert_eq!(
        (register.one("Supported"), register.one("Contact").contains("reg-id")),
        ("path, gruu", false)
    );
    phone.answered(&register, "420 Bad Extension", "Unsupported: gruu\r\n");
    let register = phone.request();
    assert_eq!((register.one("Supported"), register.one("Contact").contains("instance")), ("", false));
}

/// Each state of a registration, and how it is reached.
fn registrations() -> Vec<Phone> {
    let unregistered = Phone::new();
    let (registering, _) = Phone::registering();
    let registered = Phone::registered();
    let mut refreshing = registered.clone();
    while refreshing.state() != "Refreshing" {
        refreshing.waits(1);
    }
    let after = |status: &str| {
        let (mut phone, register) = Phone::registering();
        phone.answered(&register, status, "");
        phone
    };
    let mut unregistering = registered.clone();
    unregistering.does(UaRequest::Unregister);
    vec![
        unregistered,
        registering,
        registered,
        refreshing,
        after("503 Service Unavailable"),
        after("403 Forbidden"),
        unregistering,
    ]
}

#[test]
fn states_of_a_registration() {
    type Act = fn(&mut Phone, Option<Sent>);
    fn answer(phone: &mut Phone, request: Option<Sent>, status: &str) {
        match request {
            Some(request) => phone.answered(&request, status, "Expires: 600\r\n"),
            None => phone.take(Vec::new()),
        }
    }
    let events: [(&str, Act); 9] = [
        ("register", |p, _| p.does(UaRequest::Register)),
        ("unregister", |p, _| p.does(UaRequest::Unregister)),
        ("200", |p, r| answer(p, r, "200 OK")),
        ("403", |p, r| answer(p, r, "403 Forbidden")),
        ("500", |p, r| answer(p, r, "500 Server Internal Error")),
        ("send failed", |p, _| {
            let remote = addr(SERVER);
            p.input(Input::SendFailed { flow: UDP, remote, reason: crate::door::SendError::Refused });
        }),
        ("a minute", |p, _| p.waits(60)),
        ("an hour", |p, _| p.waits(3600)),
        ("close", |p, _| p.does(UaRequest::Close)),
    ];
    let mut shown = String::new();
    for phone in registrations() {
        let name = phone.clone().state();
        let _ = writeln!(shown, "{name}");
        for (event, act) in events {
            let mut phone = phone.clone();
            let request = phone.sent.iter().rev().find(|sent| sent.first().starts_with("REGISTER")).cloned();
            act(&mut phone, request);
            let mut sent: Vec<&str> =
                phone.sent.iter().map(|s| s.first().split(' ').next().unwrap_or_default()).collect();
            sent.dedup();
            let told = phone.told.iter().map(|step| match step {
                UaStep::Registration { state, .. } => word(state),
                other => word(other),
            });
            let told: Vec<String> = told.collect();
            let _ = writeln!(shown, "  {event:>12}: {} | {}", sent.join(" "), told.join(" "));
        }
    }
    insta::assert_snapshot!(shown);
}

pub(super) fn begin(phone: &mut Phone) -> Sent {
    phone.does(UaRequest::Call(Do::Begin { to: "sip:bob@example.org".into(), sdp: SDP.as_bytes().into() }));
    phone.request()
}

pub(super) fn ok(invite: &Sent, tag: &str) -> String {
    response(invite, "200 OK", tag, SERVER, SDP)
}

/// A request of the other side, in the dialog that it made by this INVITE.
pub(super) fn within(method: &str, number: u32, contact: &str, tag: &str, sdp: &str) -> String {
    let to = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    let body = match sdp {
        "" => "Content-Length: 0\r\n\r\n".to_owned(),
        sdp => format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len()),
    };
    let branch = if method == "CANCEL" || method == "INVITE" && tag.is_empty() {
        "in".into()
    } else {
        format!("{method}{number}")
    };
    format!(
        "{method} {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {SERVER};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@example.org>;tag=b\r\nTo: <sip:alice@example.org>{to}\r\nCall-ID: in\r\n\
         CSeq: {number} {method}\r\nContact: <sip:{SERVER}>\r\n{body}"
    )
}

/// Each state of a call, and what names it: the INVITE of ours, or our tag.
fn calls() -> Vec<(&'static str, Phone, Option<Sent>, String)> {
    let mut calling = Phone::registered();
    let contact = calling.view();
    drop(contact);
    let invite = begin(&mut calling);
    let mut proceeding = calling.clone();
    proceeding.hears(&response(&invite, "180 Ringing", "b", SERVER, ""));
    let mut established = proceeding.clone();
    established.hears(&ok(&invite, "b"));
    let mut incoming = Phone::registered();
    let own = own_contact(&mut incoming);
    incoming.hears(&within("INVITE", 1, &own, "", SDP));
    incoming.does(UaRequest::Call(Do::Ring { call: 2, sdp: Box::default() }));
    let tag = incoming.sent[0].tag("To").to_owned();
    let mut answered = incoming.clone();
    answered.does(UaRequest::Call(Do::Answer { call: 2, sdp: SDP.as_bytes().into() }));
    vec![
        ("Calling", calling, Some(invite.clone()), String::new()),
        ("Proceeding", proceeding, Some(invite.clone()), String::new()),
        ("Established, by us", established, Some(invite), String::new()),
        ("Incoming", incoming, None, tag.clone()),
        ("Answered", answered, None, tag),
    ]
}

/// The Contact it has registered.
pub(super) fn own_contact(phone: &mut Phone) -> String {
    let mut again = phone.clone();
    again.waits(3240);
    let contact = again.request().one("Contact").to_owned();
    contact.trim_start_matches('<').split('>').next().unwrap_or_default().to_owned()
}

#[test]
fn states_of_a_call() {
    let events = [
        "ring",
        "answer",
        "reject",
        "change",
        "digit",
        "transfer",
        "hang up",
        "180",
        "200",
        "200 of another",
        "486",
        "407",
        "ACK",
        "BYE",
        "CANCEL",
        "INVITE",
        "UPDATE",
        "INFO",
        "nothing for a minute",
        "nothing for ten minutes",
    ];
    let mut shown = String::new();
    for (name, phone, invite, tag) in calls() {
        let _ = writeln!(shown, "{name}");
        for event in events {
            let mut phone = phone.clone();
            let call = phone.view().calls[0].call;
            let sdp: Box<[u8]> = SDP.as_bytes().into();
            let own = own_contact(&mut phone);
            let does = |phone: &mut Phone, request| phone.does(UaRequest::Call(request));
            // Only who calls hears answers, and only who is called is asked, here.
            let heard = |phone: &mut Phone, status: &str, tag: &str| match &invite {
                Some(invite) if status.starts_with("200") => phone.hears(&ok(invite, tag)),
                Some(invite) => phone.hears(&response(invite, status, tag, "", "")),
                None => phone.take(Vec::new()),
            };
            let asked = |phone: &mut Phone, method: &str, number: u32, sdp: &str| match &invite {
                None => phone.hears(&within(
                    method,
                    number,
                    &own,
                    if method == "CANCEL" { "" } else { &tag },
                    sdp,
                )),
                Some(invite) => {
                    // The same from whom we call: the dialog is turned around.
                    let text = within(method, number, &own, "x", sdp)
                        .replace("Call-ID: in", &format!("Call-ID: {}", invite.one("Call-ID")))
                        .replace("<sip:alice@example.org>;tag=x", invite.one("From"));
                    phone.hears(&text);
                }
            };
            match event {
                "ring" => does(&mut phone, Do::Ring { call, sdp: Box::default() }),
                "answer" => does(&mut phone, Do::Answer { call, sdp }),
                "reject" => does(&mut phone, Do::Reject { call, status: 486 }),
                "change" => does(&mut phone, Do::Change { call, sdp }),
                "digit" => does(&mut phone, Do::Digit { call, digit: '1', millis: 100 }),
                "transfer" => {
                    does(
                        &mut phone,
                        Do::Transfer { call, to: "sip:carol@example.org".into(), replaces: None },
                    );
                }
                "hang up" => does(&mut phone, Do::HangUp { call }),
                "180" => heard(&mut phone, "180 Ringing", "b"),
                "200" => heard(&mut phone, "200 OK", "b"),
                "200 of another" => heard(&mut phone, "200 OK", "c"),
                "486" => heard(&mut phone, "486 Busy Here", "b"),
                "407" => heard(&mut phone, "407 Proxy Authentication Required", "b"),
                "ACK" => asked(&mut phone, "ACK", 1, ""),
                "BYE" => asked(&mut phone, "BYE", 2, ""),
                "CANCEL" => asked(&mut phone, "CANCEL", 1, ""),
                "INVITE" => asked(&mut phone, "INVITE", 2, SDP),
                "UPDATE" => asked(&mut phone, "UPDATE", 2, ""),
                "INFO" => asked(&mut phone, "INFO", 2, ""),
                "nothing for a minute" => phone.waits(60),
                _ => phone.waits(600),
            }
            let mut sent: Vec<String> = phone
                .sent
                .iter()
                .map(|s| {
                    s.first()
                        .strip_prefix("SIP/2.0 ")
                        .unwrap_or(s.first())
                        .split(' ')
                        .next()
                        .unwrap_or_default()
                        .into()
                })
                .collect();
            sent.dedup();
            let told = phone.told.iter().map(|step| match step {
                UaStep::Call { step: UaCallStep::Ended { status, remote }, .. } => {
                    format!("Ended({status}{})", if *remote { ", by them" } else { "" })
                }
                UaStep::Call { step, .. } => word(step),
                other => word(other),
            });
            let told: Vec<String> = told.collect();
            let refused = match &phone.last {
                Some(ReplyBody::NoUa(why)) => format!(" {why:?}"),
                _ => String::new(),
            };
            let _ = writeln!(shown, "  {event:>23}: {} |{refused} {}", sent.join(" "), told.join(" "));
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_second_phone_that_answers_is_thanked_and_sent_away() {
    let mut phone = Phone::new();
    let invite = begin(&mut phone);
    phone.hears(&ok(&invite, "one"));
    assert_eq!(phone.request().first().split(' ').next(), Some("ACK"));
    phone.hears(&ok(&invite, "two"));
    let sent: Vec<(&str, &str)> =
        phone.sent.iter().map(|s| (s.first().split(' ').next().unwrap_or_default(), s.tag("To"))).collect();
    assert_eq!(sent, [("ACK", "two"), ("BYE", "two")]);
    assert_eq!(phone.told, []);
    phone.hears(&ok(&invite, "two"));
    assert_eq!(phone.sent.len(), 1, "the BYE is not said twice");
    phone.hears(&ok(&invite, "one"));
    assert_eq!((phone.sent.len(), phone.sent[0].tag("To")), (1, "one"));
}

#[test]
fn bad_requests_to_a_user_agent_are_refused_and_change_nothing() {
    let mut phone = Phone::registered();
    let own = own_contact(&mut phone);
    let first = |phone: &Phone| phone.sent.first().map(|s| s.first().to_owned()).unwrap_or_default();
    for (change, status) in [
        (("Contact: ", "Require: 100rel, precondition\r\nContact: "), "420"),
        (("application/sdp", "text/plain"), "415"),
        (("Contact: <sip:192.0.2.77:5060>\r\n", ""), "400"),
        (("INVITE", "REFER"), "403"),
        (("INVITE", "PUBLISH"), "405"),
        (("INVITE", "BLAH"), "501"),
        (("To: <sip:alice@example.org>", "To: <sip:alice@example.org>;tag=none"), "481"),
    ] {
        let text = within("INVITE", 1, &own, "", SDP).replace(change.0, change.1);
        phone.clone().hears(&text);
        let mut other = phone.clone();
        other.hears(&text);
        assert!(first(&other).starts_with(&format!("SIP/2.0 {status}")), "{status}: {:?}", first(&other));
        assert!(other.told.is_empty() && other.view().calls.is_empty());
    }
    // Nobody of that name, and one who has gone.
    phone.hears(&within("INVITE", 1, "sip:u0123@192.0.2.1:5060", "", SDP));
    assert!(!first(&phone).starts_with("SIP/2.0 2") && phone.told.is_empty());
    phone.does(UaRequest::Close);
    phone.hears(&within("INVITE", 1, &own, "", SDP).replace("z9hG4bKin", "z9hG4bKlate"));
    assert!(phone.told.is_empty());
}
