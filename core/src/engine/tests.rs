//! The engine through its doors: what each kind of input is answered with, byte for byte.

mod again;
mod calls;
mod crossing;
mod dialogs;
mod digest;
mod extensions;
mod host_calls;
#[cfg(feature = "jwt")]
mod introspection;
#[cfg(feature = "jwt")]
mod keys;
mod large;
mod lists;
mod loops;
mod messages;
mod messages_out;
mod names;
mod news;
mod notices;
mod overtaken;
mod peers;
mod presence;
mod reliable;
mod replaces;
mod retry_after;
mod reuse;
mod route;
mod session_timers;
mod subscriptions;
mod transfers;
mod trunks;
mod ua;
mod ua_elsewhere;
mod ua_reliable;
mod ua_timers;
mod update;
mod zones;

use core::fmt::Write as _;
use core::net::SocketAddr;
use core::time::Duration;

use crate::Engine;
use crate::base::Time;
use crate::config::{AccountConfig, AuthPolicy, Config, IpNet, RegistrarConfig, Tell};
use crate::door::{
    BadFrame, Command, CredentialsAnswer, Event, FlowDownReason, FlowId, Input, KeepAlive, Query, ReplyBody,
    Request, Secret, Ticket, Transport,
};
use crate::stats::{Counter, DropReason};

const START: Time = Time::from_secs(1_700_000_000);
const UDP: FlowId = FlowId(2);
const TCP: FlowId = FlowId(4);

/// An engine with one UDP listener and one accepted TCP connection.
#[derive(Clone)]
struct Host {
    engine: Engine,
    now: Time,
}

fn config() -> Config {
    let mut config = Config::new("example.com");
    config.registrar = Some(RegistrarConfig::default());
    config.tell = Tell { outcomes: false, bindings: true, drops: true, ..Tell::default() };
    for (username, password) in [("bob", "zanzibar"), ("alice", "wonderland")] {
        let password = Some(Secret(password.to_owned()));
        config.accounts.push(AccountConfig {
            username: username.into(),
            password,
            ..AccountConfig::default()
        });
    }
    config
}

fn open() -> Config {
    let mut config = config();
    config.policies.register = AuthPolicy::Open;
    config
}

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

impl Host {
    fn new(config: Config) -> Host {
        Host::seeded(config, 1)
    }

    fn seeded(config: Config, seed: u8) -> Host {
        let settings = config.validate().expect("a good configuration");
        let mut engine = Engine::new(settings, [seed; 32], START);
        let local = addr("192.0.2.1:5060");
        let (transport, remote) = (Transport::Udp, None);
        engine.handle(START, Input::FlowUp { flow: UDP, listener: 0, transport, local, remote, peer: None });
        let (transport, remote) = (Transport::Tcp, Some(addr("192.0.2.9:40000")));
        engine.handle(START, Input::FlowUp { flow: TCP, listener: 0, transport, local, remote, peer: None });
        Host { engine, now: START }
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Command> {
        self.engine.handle(self.now, input);
        core::iter::from_fn(|| self.engine.poll_command()).collect()
    }

    fn udp(&mut self, data: &[u8]) -> Vec<Command> {
        let (remote, local) = (addr("192.0.2.9:5060"), addr("192.0.2.1:5060"));
        self.input(Input::Message { flow: UDP, remote, local, data })
    }

    fn wait(&mut self, time: Duration) -> Vec<Command> {
        let end = self.now + time;
        let mut commands = Vec::new();
        while let Some(next) = self.engine.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            commands.extend(self.input(Input::Timeout));
        }
        self.now = end;
        commands
    }
}

/// A request with the usual headers; `more` are whole lines.
fn request(method: &str, uri: &str, cseq: u32, more: &str) -> Vec<u8> {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{method}{cseq};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=f1\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: c1@192.0.2.9\r\nCSeq: {cseq} {method}\r\n{more}Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// All that came out, readable; nothing is masked.
fn shown(commands: &[Command]) -> String {
    let mut out = String::new();
    for command in commands {
        match command {
            Command::Transmit(t) => {
                let text = String::from_utf8_lossy(&t.payload).replace("\r\n", "\n");
                let _ = writeln!(out, "transmit flow {} to {}\n{text}", t.flow.0, t.remote);
            }
            other => {
                let _ = writeln!(out, "{other:?}");
            }
        }
    }
    out
}

fn status(commands: &[Command]) -> Option<u16> {
    commands.iter().find_map(|c| match c {
        Command::Transmit(t) => core::str::from_utf8(t.payload.get(8..11)?).ok()?.parse().ok(),
        _ => None,
    })
}

#[test]
fn options_tells_what_the_server_can_do_and_leaves_nothing() {
    let mut host = Host::new(config());
    insta::assert_snapshot!(shown(&host.udp(&request("OPTIONS", "sip:example.com", 1, ""))));
    assert_eq!(host.engine.poll_timeout(), None);
    assert_eq!(host.engine.sizes().transactions, 0);
}

#[test]
fn options_is_answered_alike_for_every_target() {
    let mut host = Host::new(config());
    let mut answers = Vec::new();
    for uri in ["sip:bob@example.com", "sip:nobody@example.com", "sip:else@where.invalid"] {
        answers.push(shown(&host.udp(&request("OPTIONS", uri, 1, ""))));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
}

#[test]
fn a_register_without_credentials_is_challenged_and_leaves_no_state() {
    let mut host = Host::new(config());
    let answer = host.udp(&request("REGISTER", "sip:example.com", 1, "Contact: <sip:bob@192.0.2.9>\r\n"));
    insta::assert_snapshot!(shown(&answer));
    let sizes = host.engine.sizes();
    assert_eq!((sizes.transactions, sizes.nonces, sizes.timers, sizes.parked), (0, 0, 0, 0));
}

#[test]
fn an_open_register_gets_all_bindings_and_everything_ends() {
    let mut host = Host::new(open());
    let first = request("REGISTER", "sip:example.com", 1, "Contact: <sip:bob@192.0.2.9:5060>;expires=60\r\n");
    let answer = host.udp(&first);
    insta::assert_snapshot!(shown(&answer));
    // A retransmission gets the very same bytes, and nothing is done twice.
    let again = host.udp(&first);
    let wire = |commands: &[Command]| -> Vec<Command> {
        commands.iter().filter(|c| matches!(c, Command::Transmit(_))).cloned().collect()
    };
    assert_eq!(shown(&wire(&answer)), shown(&again));
    assert_eq!(host.engine.sizes().bindings, 1);
    insta::assert_snapshot!("an_open_register_runs_out", shown(&host.wait(Duration::from_secs(120))));
    let sizes = host.engine.sizes();
    assert_eq!((sizes.aors, sizes.bindings, sizes.transactions, sizes.timers), (0, 0, 0, 0), "{sizes:?}");
    assert_eq!(host.engine.poll_timeout(), None);
}

#[test]
fn methods_are_refused_by_what_they_are() {
    let mut host = Host::new(config());
    let mut table = String::new();
    for (method, uri, more) in [
        ("INVITE", "sip:bob@example.com", ""),
        ("SUBSCRIBE", "sip:bob@example.com", ""),
        ("BYE", "sip:bob@example.com", ""),
        ("NEWMETHOD", "sip:bob@example.com", ""),
        ("REGISTER", "http://example.com", ""),
        ("REGISTER", "sip:elsewhere.invalid", ""),
        ("PUBLISH", "sip:bob@example.com", ""),
        ("MESSAGE", "sip:bob@example.com", ""),
        ("NOTIFY", "sip:bob@example.com", ""),
        ("REFER", "sip:bob@example.com", ""),
        ("INFO", "sip:bob@example.com", ""),
        ("UPDATE", "sip:bob@example.com", ""),
        ("PRACK", "sip:bob@example.com", ""),
        ("CANCEL", "sip:bob@example.com", ""),
        ("OPTIONS", "sip:example.com", "Max-Forwards: 70\r\n"),
        ("ACK", "sip:bob@example.com", ""),
    ] {
        let commands = host.udp(&request(method, uri, 7, more));
        let first = match commands.first() {
            Some(Command::Transmit(t)) => {
                let text = String::from_utf8_lossy(&t.payload);
                let shown = text.lines().filter(|l| l.starts_with("SIP/2.0 ") || l.starts_with("Allow: "));
                shown.collect::<Vec<_>>().join(" / ")
            }
            other => format!("{other:?}"),
        };
        let _ = writeln!(table, "{method:10} {uri:22} {:18} {first}", more.trim());
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_register_server_that_is_switched_off_says_405_with_allow() {
    let mut config = config();
    config.registrar = None;
    let mut host = Host::new(config);
    let answer = host.udp(&request("REGISTER", "sip:example.com", 1, ""));
    assert_eq!(status(&answer), Some(405));
    assert!(shown(&answer).contains("\nAllow: OPTIONS\n"), "{}", shown(&answer));
}

#[test]
fn an_extension_we_lack_is_named_in_unsupported() {
    let mut host = Host::new(open());
    let more = "Require: outbound, teleport, path\r\nContact: <sip:bob@192.0.2.9>\r\n";
    let answer = host.udp(&request("REGISTER", "sip:example.com", 1, more));
    assert_eq!(status(&answer), Some(420));
    assert!(shown(&answer).contains("\nUnsupported: teleport, path\n"), "{}", shown(&answer));
    let answer = host.udp(&request("OPTIONS", "sip:example.com", 2, "Require: nothingSupportsThis\r\n"));
    assert_eq!(status(&answer), Some(420));
}

#[test]
fn a_broken_request_is_told_which_part_is_broken() {
    let mut host = Host::new(config());
    let good = String::from_utf8(request("OPTIONS", "sip:example.com", 1, "")).expect("ASCII");
    let mut table = String::new();
    for (from, to) in [
        ("CSeq: 1 OPTIONS\r\n", ""),
        ("CSeq: 1 OPTIONS", "CSeq: 99999999999 OPTIONS"),
        ("CSeq: 1 OPTIONS", "CSeq: 1 INVITE"),
        ("Call-ID: c1@192.0.2.9\r\n", ""),
        ("To: <sip:bob@example.com>", "To: <sip:bob@example.com"),
        ("From: <sip:bob@example.com>;tag=f1\r\n", "From: <sip:a@b>;tag=1\r\nFrom: <sip:c@d>;tag=2\r\n"),
        ("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"),
        ("Content-Length: 0", "Content-Length: 9999"),
        ("Content-Length: 0", "Content-Length: -1"),
        ("Via: SIP/2.0/UDP 192.0.2.9:5060", "Via: SIP/2.0/UDP"),
        ("OPTIONS sip:example.com SIP/2.0", "hello"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(good, bad);
        let commands = host.udp(bad.as_bytes());
        let first = match commands.first() {
            Some(Command::Transmit(t)) => {
                String::from_utf8_lossy(&t.payload).lines().next().unwrap_or_default().to_owned()
            }
            other => format!("{other:?}"),
        };
        let _ = writeln!(table, "{:75} {first}", format!("{from:?} -> {to:?}"));
    }
    insta::assert_snapshot!(table);
}

#[test]
fn keepalives_and_stun_are_answered_on_their_transports() {
    let mut host = Host::new(config());
    let remote = addr("192.0.2.9:40000");
    let pong = host.input(Input::KeepAlive { flow: TCP, remote, kind: KeepAlive::Ping });
    assert!(
        matches!(&pong[..], [Command::Transmit(t)] if &t.payload[..] == b"\r\n" && t.flow == TCP),
        "{pong:?}"
    );
    assert!(host.input(Input::KeepAlive { flow: TCP, remote, kind: KeepAlive::Pong }).is_empty());
    // RFC 8489 s5: a Binding request.
    let mut binding = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    binding.extend_from_slice(b"abcdefghijkl");
    let answer = host.udp(&binding);
    assert!(matches!(&answer[..], [Command::Transmit(t)] if t.payload.starts_with(&[1, 1])), "{answer:?}");
    assert!(matches!(
        &host.udp(b"\r\n\r\n")[..],
        [Command::Tell(Event::Dropped { reason: DropReason::KeepAlive, .. })]
    ));
    assert!(matches!(
        &host.udp(b"")[..],
        [Command::Tell(Event::Dropped { reason: DropReason::KeepAlive, .. })]
    ));
}

#[test]
fn a_stream_that_cannot_be_framed_is_answered_and_closed() {
    let mut host = Host::new(config());
    let head = b"OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK1\r\n\
        From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: x\r\n\r\n";
    let commands = host.input(Input::BadFrame { flow: TCP, head, reason: BadFrame::BadLength });
    insta::assert_snapshot!(shown(&commands));
}

#[test]
fn sources_outside_the_allowed_networks_are_counted_and_ignored() {
    let mut config = config();
    config.allowed_sources = vec![IpNet::parse("10.0.0.0/8").expect("a network")];
    let mut host = Host::new(config);
    let commands = host.udp(&request("OPTIONS", "sip:example.com", 1, ""));
    assert!(
        matches!(&commands[..], [Command::Tell(Event::Dropped { reason: DropReason::Source, .. })]),
        "{commands:?}"
    );
    assert_eq!(host.engine.stats().drops(DropReason::Source), 1);
}

#[test]
fn a_lost_flow_and_a_clock_that_runs_backwards_are_survived() {
    let mut host = Host::new(config());
    host.input(Input::FlowDown { flow: TCP, reason: FlowDownReason::Closed });
    let (remote, local) = (addr("192.0.2.9:40000"), addr("192.0.2.1:5060"));
    let data = request("OPTIONS", "sip:example.com", 1, "");
    let commands = host.input(Input::Message { flow: TCP, remote, local, data: &data });
    assert!(matches!(&commands[..], [Command::Tell(Event::Dropped { reason: DropReason::UnknownFlow, .. })]));
    host.now = START - Duration::from_secs(10);
    assert_eq!(status(&host.udp(&data)), Some(200));
    assert_eq!(host.engine.stats().counter(Counter::ClockBackwards), 1);
}

#[test]
fn a_draining_server_says_503_to_probes_and_still_registers() {
    let mut host = Host::new(open());
    let timeout = Duration::from_secs(600);
    let commands = host.input(Input::Host { reply: Some(5), request: Request::Drain { timeout } });
    assert!(commands.contains(&Command::Tell(Event::Drained)), "{commands:?}");
    let answer = host.udp(&request("OPTIONS", "sip:example.com", 1, ""));
    assert_eq!(status(&answer), Some(503));
    assert!(shown(&answer).contains("\nRetry-After: 30\n"));
    assert_eq!(
        status(&host.udp(&request("REGISTER", "sip:example.com", 2, "Contact: <sip:bob@192.0.2.9>\r\n"))),
        Some(200)
    );
}

#[test]
fn the_host_looks_up_lists_and_removes() {
    let mut host = Host::new(open());
    host.udp(&request("REGISTER", "sip:example.com", 1, "Contact: <sip:bob@192.0.2.9:5060>;q=0.5\r\n"));
    let mut ask = |request| match host.input(Input::Host { reply: Some(1), request }).last() {
        Some(Command::Reply(reply)) => reply.body.clone(),
        other => panic!("no reply but {other:?}"),
    };
    let ReplyBody::Bindings(found) = ask(Request::Lookup { aor: "sip:bob@example.com".into() }) else {
        panic!("no bindings")
    };
    assert_eq!((found.len(), &*found[0].contact, found[0].q), (1, "sip:bob@192.0.2.9:5060", 500));
    let ReplyBody::Bindings(found) = ask(Request::LookupContact { contact: "sip:bob@192.0.2.9:5060".into() })
    else {
        panic!("no bindings")
    };
    assert_eq!(found.len(), 1);
    let ReplyBody::Bindings(found) = ask(Request::List { after: None, limit: 10 }) else {
        panic!("no bindings")
    };
    assert_eq!(found.len(), 1);
    assert_eq!(
        ask(Request::Lookup { aor: "bob@example.com".into() }),
        ask(Request::Lookup { aor: "sip:bob@EXAMPLE.com".into() })
    );
    assert_eq!(
        ask(Request::RemoveBinding { aor: "bob@example.com".into(), contact: None }),
        ReplyBody::Removed(1)
    );
    assert_eq!(ask(Request::Lookup { aor: "bob@example.com".into() }), ReplyBody::Bindings(Vec::new()));
}

#[test]
fn when_a_save_fails_the_register_is_taken_back_and_answered_500() {
    let mut config = open();
    config.tell.changes = true;
    let mut host = Host::new(config);
    let contacts = "Contact: <sip:bob@192.0.2.9>, <sip:bob@192.0.2.9:5070>\r\n";
    let data = request("REGISTER", "sip:example.com", 1, contacts);
    let commands = host.udp(&data);
    assert_eq!(status(&commands), Some(200));
    let saves: Vec<_> = commands
        .iter()
        .filter_map(|c| if let Command::Save(seq, _) = c { Some(*seq) } else { None })
        .collect();
    let [first, last] = saves[..] else { panic!("two bindings, two saves: {saves:?}") };
    let held = |c: &Command| matches!(c, Command::Transmit(t) if t.after == Some(last));
    assert!(commands.iter().any(held), "the 200 waits for the last of them");
    // The shell drops the 200 it holds.
    assert_eq!(status(&host.input(Input::SaveFailed(first))), Some(500));
    assert_eq!(status(&host.input(Input::SaveFailed(last))), None);
    assert_eq!(status(&host.udp(&data)), Some(500), "and again when the request comes again");
    assert_eq!(host.engine.sizes().bindings, 0);
}

/// A Digest answer that cannot be right, for a user that is no local account.
const STRANGER: &str = "Contact: <sip:bob@192.0.2.9>\r\n";

#[test]
fn a_forged_ticket_is_counted_and_ignored() {
    let mut host = Host::new(config());
    let ticket = Ticket::new(3, 9);
    let answer = crate::door::Answer::Credentials(ticket, CredentialsAnswer::Unknown);
    assert!(host.input(Input::Answer(answer)).is_empty());
    assert_eq!(host.engine.stats().drops(DropReason::BadTicket), 1);
}

#[test]
fn a_request_that_waits_for_a_foreign_store_is_answered_once_at_the_deadline() {
    let mut config = config();
    config.digest.foreign_store = true;
    let mut host = Host::new(config);
    let challenge = shown(&host.udp(&request("REGISTER", "sip:example.com", 1, STRANGER)));
    let nonce =
        challenge.split("nonce=\"").nth(1).and_then(|s| s.split('"').next()).expect("a nonce").to_owned();
    let more = format!(
        "{STRANGER}Authorization: Digest username=\"carol\", realm=\"example.com\", nonce=\"{nonce}\", \
         uri=\"sip:example.com\", response=\"{:064}\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"x\"\r\n",
        0
    );
    let parked = host.udp(&request("REGISTER", "sip:example.com", 2, &more));
    assert!(matches!(&parked[..], [Command::Ask(Query::Credentials(_))]), "{parked:?}");
    assert_eq!(host.engine.sizes().parked, 1);
    // A retransmission is absorbed.
    assert!(host.udp(&request("REGISTER", "sip:example.com", 2, &more)).is_empty());
    let late = host.wait(Duration::from_secs(6));
    let statuses: Vec<_> = late.iter().filter_map(|c| status(core::slice::from_ref(c))).collect();
    assert_eq!(statuses, [100, 503], "{}", shown(&late));
    assert_eq!(host.engine.sizes().parked, 0);
}

#[test]
fn equal_histories_have_equal_fingerprints_and_others_do_not() {
    let first = request("REGISTER", "sip:example.com", 1, "Contact: <sip:bob@192.0.2.9>\r\n");
    let other = request("REGISTER", "sip:example.com", 1, "Contact: <sip:bob@192.0.2.8>\r\n");
    let after = |data: &[u8]| {
        let mut host = Host::new(open());
        host.udp(data);
        (host.engine.fingerprint(), host)
    };
    let (a, mut host) = after(&first);
    assert_eq!(a, after(&first).0);
    assert_ne!(a, after(&other).0);
    assert_eq!(a, host.engine.clone().fingerprint());
    host.wait(Duration::from_secs(1));
    host.input(Input::Timeout);
    assert_ne!(a, host.engine.fingerprint());
}

#[test]
fn the_engine_can_be_moved_to_a_thread_and_cloned() {
    fn is_send_and_clone<T: Send + Clone + 'static>() {}
    is_send_and_clone::<Engine>();
}

#[test]
fn commands_and_inputs_stay_small() {
    assert!(size_of::<Command>() <= 160, "{}", size_of::<Command>());
    assert!(size_of::<Input<'_>>() <= 160, "{}", size_of::<Input<'_>>());
}
