//! What a token costs beside the REGISTER it comes with: RS256, seen for the first time and remembered.

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

/// Users who register one after the other, again and again.
struct Phones {
    engine: Engine,
    now: Time,
    /// How each of them asks but for branch and CSeq, which come first and in between.
    requests: Vec<[String; 2]>,
    next: usize,
    message: String,
}

impl Phones {
    fn boxed(bearer: bool, remembered: usize) -> Box<dyn Case> {
        let folder = std::env::temp_dir().join(format!("strowger-bench-keys-{}", std::process::id()));
        let ring = Arc::new(KeyRing::open(&folder, RingConfig::default(), NOW).expect("keys"));
        let issuer =
            Issuer::new(Arc::clone(&ring), TokenConfig { life: 86_400, ..TokenConfig::new(ISSUER, DOMAIN) });
        let requests = (0..USERS).map(|n| request(n, bearer.then_some(&issuer))).collect();
        let mut config = Config::new(DOMAIN);
        config.registrar = Some(RegistrarConfig::default());
        config.limits.tokens = remembered;
        config.limits.transaction_bytes = 64 << 20;
        if bearer {
            let own = IssuerConfig {
                issuer: ISSUER.into(),
                audiences: vec![DOMAIN.into()],
                jwks: "keys".into(),
                aor_claim: Some("aors".into()),
                ..IssuerConfig::default()
            };
            config.jwt =
                Some(JwtConfig { issuers: vec![own], allow_cleartext: true, ..JwtConfig::default() });
        } else {
            config.policies.register = AuthPolicy::Open;
        }
        let now = Time::from_secs(NOW as u64);
        let mut engine = Engine::new(config.validate().expect("good"), [5; 32], now);
        let (transport, remote) = (Transport::Udp, None);
        engine.handle(
            now,
            Input::FlowUp { flow: UDP, listener: 0, transport, local: local(), remote, peer: None },
        );
        while let Some(command) = engine.poll_command() {
            if let Command::Ask(Query::Keys(query)) = command {
                let json = Secret(ring.jwks(NOW).body.into_bytes().into());
                let answer = Answer::Keys(query.ticket, KeysAnswer::Document { json, max_age: None });
                engine.handle(now, Input::Answer(answer));
            }
        }
        let _ = std::fs::remove_dir_all(&folder);
        let mut phones = Phones { engine, now, requests, next: 0, message: String::new() };
        for _ in 0..2 * USERS {
            phones.prepare();
            phones.run();
        }
        Box::new(phones)
    }
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
        let mut good = false;
        while let Some(command) = self.engine.poll_command() {
            if let Command::Transmit(sent) = command {
                good |= sent.payload.starts_with(b"SIP/2.0 200 ");
            }
        }
        assert!(good, "{}", self.message);
    }
}

fn main() {
    micro::main(&[
        ("register", || Phones::boxed(false, 0)),
        ("register_rs256_remembered", || Phones::boxed(true, 10_000)),
        ("register_rs256_cold", || Phones::boxed(true, 1)),
    ]);
}
