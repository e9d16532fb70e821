//! An engine in process with many phones, for benchmarks and budgets: what goes in is made by the load generator.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use strowger_core::Engine;
use strowger_core::base::Time;
use strowger_core::config::{
    AccountConfig, AuthPolicy, Config, DigestAlgorithm, IssuerConfig, JwtAlgorithm, JwtConfig,
    RegistrarConfig,
};
use strowger_core::door::{Answer, Command, FlowId, Input, KeysAnswer, Query, Secret, Transport};

use crate::issuer;
use crate::load::auth::{self, Algorithm, Challenge};
use crate::load::reply;
use crate::load::request::{self, Kind, Template};

const START: Time = Time::from_secs(1_700_000_000);
const UDP: FlowId = FlowId(2);

/// How the phones show who they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Show {
    /// Nobody asks.
    Nothing,
    /// Digest SHA-256; the challenge is kept and its nonce used again.
    Digest,
    /// A token, which the engine sees again and again.
    Token,
    /// They are asked and show nothing.
    Refused,
    /// Digest SHA-256 with another password than theirs.
    Wrong,
    /// The same by a name that nobody has.
    Unknown,
}

/// An engine and its phones, which take turns.
#[derive(Debug)]
pub struct World {
    /// The engine.
    pub engine: Engine,
    /// Its time.
    pub now: Time,
    step: Duration,
    show: Show,
    template: Template,
    phones: Vec<Phone>,
    next: usize,
    message: Vec<u8>,
    // The last answer, looked at outside of what is measured.
    answer: Option<Bytes>,
}

#[derive(Clone, Debug, Default)]
struct Phone {
    cseq: u32,
    challenge: Option<Challenge>,
    nc: u32,
    token: String,
}

impl World {
    /// Phones that send REGISTER (or OPTIONS), one every `step` of the engine's time.
    pub fn new(kind: Kind, show: Show, phones: u32, step: Duration) -> World {
        let mut config = Config::new("example.com");
        config.registrar = Some(RegistrarConfig::default());
        config.policies.register = match show {
            Show::Nothing => AuthPolicy::Open,
            Show::Digest | Show::Refused | Show::Wrong | Show::Unknown => AuthPolicy::Digest,
            Show::Token => AuthPolicy::Bearer,
        };
        config.digest.algorithms = vec![DigestAlgorithm::Sha256];
        match show {
            Show::Nothing => {}
            Show::Digest | Show::Refused | Show::Wrong | Show::Unknown => {
                config.accounts.extend((0..phones).map(account));
            }
            Show::Token => config.jwt = Some(tokens()),
        }
        let settings = config.validate().expect("a good configuration");
        let local: SocketAddr = "192.0.2.1:5060".parse().expect("an address");
        let mut engine = Engine::new(settings, [7; 32], START);
        engine.handle(
            START,
            Input::FlowUp {
                flow: UDP,
                listener: 0,
                transport: Transport::Udp,
                local,
                remote: None,
                peer: None,
            },
        );
        let (now, day) = (Duration::from_secs(START.as_secs()), Duration::from_secs(86_400));
        let phone = |user: u32| Phone {
            token: match show {
                Show::Token => issuer::token(&format!("u{user:07}@example.com"), now, day),
                _ => String::new(),
            },
            ..Phone::default()
        };
        let mut world = World {
            engine,
            now: START,
            step,
            show,
            template: Template::new(kind, "example.com", (Transport::Udp, remote()), "5a175a17"),
            phones: (0..phones).map(phone).collect(),
            next: 0,
            message: Vec::new(),
            answer: None,
        };
        world.serve_keys();
        world
    }

    fn serve_keys(&mut self) {
        while let Some(command) = self.engine.poll_command() {
            let Command::Ask(Query::Keys(query)) = command else { continue };
            let json = Secret(issuer::document().into_bytes().into_boxed_slice());
            let answer = KeysAnswer::Document { json, max_age: Some(Duration::from_secs(86_400)) };
            self.engine.handle(self.now, Input::Answer(Answer::Keys(query.ticket, answer)));
        }
    }

    /// Writes the next phone's request.
    pub fn prepare(&mut self) {
        self.read_answer();
        self.now = self.now + self.step;
        let number = self.next as u32;
        let Some(phone) = self.phones.get_mut(self.next) else { return };
        phone.cseq += 1;
        phone.nc += 1;
        let (template, show) = (&self.template, self.show);
        template.write(&mut self.message, number, phone.cseq, |out| match (show, &phone.challenge) {
            (Show::Digest | Show::Wrong | Show::Unknown, Some(challenge)) => {
                let (mut name, mut password) = request::credentials(number);
                match show {
                    // As long as the right ones.
                    Show::Wrong => password = "x".repeat(password.len()),
                    Show::Unknown => name = name.replace('u', "x"),
                    _ => {}
                }
                let request = (template.kind.method(), &template.uri[..]);
                auth::answer(out, Algorithm::Sha256, challenge, (&name, &password), request, phone.nc);
            }
            (Show::Token, _) => {
                out.extend_from_slice(b"Authorization: Bearer ");
                out.extend_from_slice(phone.token.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            (Show::Digest | Show::Wrong | Show::Unknown | Show::Nothing | Show::Refused, _) => {}
        });
    }

    /// Hands it to the engine and takes all commands. The status of the answer; 0 if there was none.
    pub fn run(&mut self) -> u16 {
        let (local, remote) = (local(), remote());
        self.engine.handle(self.now, Input::Message { flow: UDP, remote, local, data: &self.message });
        let mut status = 0;
        while let Some(command) = self.engine.poll_command() {
            if let Command::Transmit(transmit) = command {
                status = status_of(&transmit.payload);
                if matches!(self.show, Show::Digest | Show::Wrong | Show::Unknown) {
                    self.answer = Some(transmit.payload);
                }
            }
        }
        status
    }

    /// The phone does what the answer asks of it, and the next one has its turn.
    fn read_answer(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        let last = (self.next + self.phones.len() - 1) % self.phones.len();
        let Some(phone) = self.phones.get_mut(last) else { return };
        if let Some(challenge) = reply::challenge(&answer, Algorithm::Sha256) {
            phone.challenge = Some(challenge);
            phone.nc = 0;
        } else if let (Some(challenge), Some(nonce)) = (&mut phone.challenge, reply::next_nonce(&answer)) {
            challenge.nonce = nonce;
            phone.nc = 0;
        }
    }

    /// One request of the next phone, prepared and handled.
    pub fn turn(&mut self) -> u16 {
        self.prepare();
        let status = self.run();
        self.pass();
        status
    }

    /// Lets the next phone have its turn.
    pub fn pass(&mut self) {
        self.next = (self.next + 1) % self.phones.len();
    }

    /// Each phone does one request; all must be answered like that.
    pub fn round(&mut self, status: u16) {
        for _ in 0..self.phones.len() {
            assert_eq!(self.turn(), status, "{}", String::from_utf8_lossy(&self.message));
        }
    }

    /// Lets time pass, with all timers on their time.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.engine.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.engine.handle(self.now, Input::Timeout);
            while self.engine.poll_command().is_some() {}
        }
        self.now = end;
    }
}

fn local() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 5060))
}

fn remote() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 5060))
}

fn status_of(payload: &[u8]) -> u16 {
    let digits = payload.get(8..11).unwrap_or_default();
    digits.iter().fold(0, |n, b| n * 10 + u16::from(b.wrapping_sub(b'0')))
}

fn account(user: u32) -> AccountConfig {
    let (username, password) = request::credentials(user);
    AccountConfig { username, password: Some(Secret(password)), ..AccountConfig::default() }
}

fn tokens() -> JwtConfig {
    let issuer = IssuerConfig {
        issuer: issuer::ISSUER.into(),
        audiences: vec![issuer::AUDIENCE.into()],
        jwks: "https://issuer.example.com/jwks.json".into(),
        algorithms: vec![JwtAlgorithm::EdDsa],
        ..IssuerConfig::default()
    };
    JwtConfig { issuers: vec![issuer], allow_cleartext: true, ..JwtConfig::default() }
}
