//! What a token costs beside the REGISTER it comes with: RS256, seen for the first time and remembered, and one whose key is
//! not known, for which the keys are asked for again now and then. `--percentiles` shows how it is spread.

use std::net::SocketAddr;
use std::sync::Arc;

use strowger_benches::micro::{self, Case};
use strowger_core::Engine;
use strowger_core::base::Time;
use strowger_core::config::{AuthPolicy, Config, IssuerConfig, JwtConfig, RegistrarConfig};
use strowger_core::door::{Answer, Command, FlowId, Input, KeysAnswer, Query, Secret, Transport};
use strowger_users::keys::{KeyRing, RingConfig};
use strowger_users::store::{Account, Role};
use strowger_users::tokens::{Issuer, TokenConfig};

const UDP: FlowId = FlowId(2);
const NOW: i64 = 1_800_000_000;
const USERS: usize = 500;
const DOMAIN: &str = "example.com";
const ISSUER: &str = "https://sip.example.com";

/// What they show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Nothing,
    /// A token of the issuer, of which so many are remembered.
    Token(usize),
    /// A token that says to be of the issuer, and whose key is not among his.
    UnknownKey,
}

/// Users who register one after the other, again and again.
struct Phones {
    engine: Engine,
    /// The keys of the issuer, for whenever the engine asks for them.
    keys: String,
    /// How they are answered.
    status: &'static [u8],
    now: Time,
    /// How each of them asks but for branch and CSeq, which come first and in between.
    requests: Vec<[String; 2]>,
    next: usize,
    message: String,
}

impl Phones {
    fn boxed(show: Show) -> Box<dyn Case> {
        let ring = ring("own");
        let issuer = |ring: &Arc<KeyRing>| {
            Issuer::new(Arc::clone(ring), TokenConfig { life: 86_400, ..TokenConfig::new(ISSUER, DOMAIN) })
        };
        let issuer = match show {
            Show::Nothing => None,
            Show::Token(_) => Some(issuer(&ring)),
            Show::UnknownKey => Some(issuer(&self::ring("other"))),
        };
        let requests = (0..USERS).map(|n| request(n, issuer.as_ref())).collect();
        let mut config = Config::new(DOMAIN);
        config.registrar = Some(RegistrarConfig::default());
        config.limits.tokens = if let Show::Token(remembered) = show { remembered } else { 10_000 };
        config.limits.transaction_bytes = 64 << 20;
        if show == Show::Nothing {
            config.policies.register = AuthPolicy::Open;
        } else {
            let own = IssuerConfig {
                issuer: ISSUER.into(),
                audiences: vec![DOMAIN.into()],
                jwks: "keys".into(),
                aor_claim: Some("aors".into()),
                ..IssuerConfig::default()
            };
            config.jwt =
                Some(JwtConfig { issuers: vec![own], allow_cleartext: true, ..JwtConfig::default() });
        }
        let now = Time::from_secs(NOW as u64);
        let mut engine = Engine::new(config.validate().expect("good"), [5; 32], now);
        let (transport, remote) = (Transport::Udp, None);
        engine.handle(
            now,
            Input::FlowUp { flow: UDP, listener: 0, transport, local: local(), remote, peer: None },
        );
        let keys = ring.jwks(NOW).body;
        let status: &[u8] = if show == Show::UnknownKey { b"SIP/2.0 401 " } else { b"SIP/2.0 200 " };
        let mut phones = Phones { engine, keys, status, now, requests, next: 0, message: String::new() };
        phones.answered();
        for _ in 0..2 * USERS {
            phones.prepare();
            phones.run();
        }
        Box::new(phones)
    }

    /// Takes what the engine says, and gives it the keys when it asks for them. Whether it has answered as it should.
    fn answered(&mut self) -> bool {
        let mut good = false;
        while let Some(command) = self.engine.poll_command() {
            match command {
                Command::Transmit(sent) => good |= sent.payload.starts_with(self.status),
                Command::Ask(Query::Keys(query)) => {
                    let json = Secret(self.keys.clone().into_bytes().into());
                    let answer = Answer::Keys(query.ticket, KeysAnswer::Document { json, max_age: None });
                    self.engine.handle(self.now, Input::Answer(answer));
                }
                _ => {}
            }
        }
        good
    }
}

/// Keys of their own.
fn ring(name: &str) -> Arc<KeyRing> {
    let folder = std::env::temp_dir().join(format!("strowger-bench-keys-{name}-{}", std::process::id()));
    let ring = KeyRing::open(&folder, RingConfig::default(), NOW).expect("keys");
    let _ = std::fs::remove_dir_all(&folder);
    Arc::new(ring)
}

fn request(n: usize, issuer: Option<&Issuer>) -> [String; 2] {
    let aor = format!("u{n}@{DOMAIN}");
    let token = issuer.map_or(String::new(), |issuer| {
        let account = Account {
            id: n as i64,
            username: format!("u{n}"),
            display_name: String::new(),
            email: String::new(),
            role: Role::User,
            enabled: true,
            aors: vec![aor.clone()],
            password: false,
            digest: false,
            created: NOW,
            changed: NOW,
        };
        let issued = issuer.issue(&account, &["sip".into()], None, NOW, NOW).expect("a token");
        format!("Authorization: Bearer {}\r\n", issued.text.0)
    });
    let head =
        format!("REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bK{n}x");
    let rest = format!(
        "\r\nMax-Forwards: 70\r\nFrom: <sip:{aor}>;tag=a{n}\r\nTo: <sip:{aor}>\r\nCall-ID: c{n}@192.0.2.9\r\n\
         Contact: <sip:u{n}@192.0.2.9:5060>\r\nExpires: 3600\r\n{token}Content-Length: 0\r\nCSeq: "
    );
    [head, rest]
}

fn local() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 5060))
}

impl Case for Phones {
    fn prepare(&mut self) {
        use std::fmt::Write as _;
        let at = self.next % USERS;
        let [head, rest] = &self.requests[at];
        self.message.clear();
        let _ = write!(self.message, "{head}{}{rest}{} REGISTER\r\n\r\n", self.next, 1 + self.next / USERS);
        self.next += 1;
        self.now = self.now + std::time::Duration::from_millis(2);
    }

    fn run(&mut self) {
        let (remote, data) = (SocketAddr::from(([192, 0, 2, 9], 5060)), self.message.as_bytes());
        self.engine.handle(self.now, Input::Message { flow: UDP, remote, local: local(), data });
        let good = self.answered();
        assert!(good, "{}", self.message);
    }
}

fn main() {
    micro::main(&[
        ("register", || Phones::boxed(Show::Nothing)),
        ("register_rs256_remembered", || Phones::boxed(Show::Token(10_000))),
        ("register_rs256_cold", || Phones::boxed(Show::Token(1))),
        ("register_rs256_unknown_kid", || Phones::boxed(Show::UnknownKey)),
    ]);
}
