//! Requests against the whole room: an engine's context without the engine, and clients written apart from it.

use core::fmt::Write as _;
use core::net::SocketAddr;

use super::*;
use crate::base::hash;
use crate::base::{Time, Wheel, text};
use crate::config::{AccountConfig, AuthPolicy, Config, DigestAlgorithm, IpNet, ListenerConfig};
use crate::ctx::{Flows, Outbox, Overloaded};
use crate::door::{FlowId, Secret, Transport};
use crate::stats::Stats;
use crate::wire::{self, Bounds, Credentials, Layout};

#[cfg(feature = "jwt")]
mod bearer;
mod digest;
#[cfg(feature = "jwt")]
mod keys;
mod written;

pub(super) const START: Time = Time::from_secs(1_800_000_000);

/// The room, and all it is handed.
pub(super) struct World {
    pub(super) auth: Auth,
    pub(super) settings: Arc<Settings>,
    pub(super) now: Time,
    pub(super) wall_offset: i64,
    pub(super) transport: Transport,
    pub(super) remote: SocketAddr,
    pub(super) timers: Wheel<Timer>,
    pub(super) stats: Stats,
    out: Outbox,
    ids: Ids,
    flows: Flows,
}

/// One domain, a user bob with the password zanzibar, one UDP listener.
pub(super) fn config() -> Config {
    let mut config = Config::new("example.com");
    config.domains[0].aliases.push("192.0.2.1".into());
    config.accounts.push(account("bob"));
    config.listeners.push(ListenerConfig {
        transport: Transport::Udp,
        addr: "192.0.2.1:5060".parse().expect("an address"),
        advertised: None,
        algorithms: None,
    });
    config
}

pub(super) fn account(name: &str) -> AccountConfig {
    AccountConfig {
        username: name.into(),
        password: Some(Secret("zanzibar".into())),
        ..AccountConfig::default()
    }
}

pub(super) fn world(change: impl FnOnce(&mut Config)) -> World {
    let mut config = config();
    change(&mut config);
    let settings = config.validate().expect("a good configuration");
    let mut ids = Ids::new(&[7; 32]);
    World {
        auth: Auth::new(&mut ids, &settings),
        settings,
        now: START,
        wall_offset: 0,
        transport: Transport::Udp,
        remote: "192.0.2.9:5060".parse().expect("an address"),
        timers: Wheel::new(START),
        stats: Stats::default(),
        out: Outbox::default(),
        ids,
        flows: Flows::default(),
    }
}

impl World {
    pub(super) fn with<T>(&mut self, act: impl FnOnce(&mut Auth, &mut Ctx<'_>) -> T) -> T {
        let mut ctx = Ctx {
            now: self.now,
            wall_offset: self.wall_offset,
            out: &mut self.out,
            timers: &mut self.timers,
            ids: &mut self.ids,
            stats: &mut self.stats,
            flows: &mut self.flows,
            overloaded: &mut Overloaded::default(),
            settings: &self.settings,
        };
        act(&mut self.auth, &mut ctx)
    }

    pub(super) fn reload(&mut self, change: impl FnOnce(&mut Config)) {
        let mut config = config();
        change(&mut config);
        self.settings = config.validate().expect("a good configuration");
        self.with(|auth, ctx| auth.reload(ctx));
    }

    pub(super) fn ask(&mut self, request: &Request<'_>, waiting: Wait) -> Verdict {
        let raw = request.text();
        let mut layout = Layout::new();
        let bounds = Bounds { message_bytes: 65_535, headers: 200 };
        let msg = wire::parse(raw.as_bytes(), &mut layout, &bounds).expect("a good request");
        let origin = Origin {
            flow: FlowId(2),
            listener: 0,
            transport: self.transport,
            remote: self.remote,
            local: "192.0.2.1:5060".parse().expect("an address"),
        };
        self.with(|auth, ctx| auth.check(ctx, &origin, msg, msg.method(), waiting))
    }

    pub(super) fn check(&mut self, request: &Request<'_>) -> Verdict {
        self.ask(request, Wait::First)
    }

    /// Lets time pass, and every timer of it.
    pub(super) fn sleep(&mut self, time: Duration) -> Vec<u16> {
        let end = self.now + time;
        let mut fetches = Vec::new();
        while let Some((at, timer)) = self.timers.pop(end) {
            self.now = self.now.max(at);
            match timer {
                Timer::Nonces => self.with(|auth, ctx| auth.on_nonces_timer(ctx)),
                Timer::Tokens => self.with(|auth, ctx| auth.on_tokens_timer(ctx)),
                Timer::Users => self.with(|auth, ctx| auth.on_users_timer(ctx)),
                Timer::Keys(issuer) => {
                    if self.with(|auth, ctx| auth.on_keys_timer(ctx, issuer)) {
                        fetches.push(issuer);
                    }
                }
                other => panic!("{other:?} is not ours"),
            }
        }
        self.now = end;
        fetches
    }

    /// The lines of the challenge that this request earns, and why.
    pub(super) fn challenged(&mut self, request: &Request<'_>) -> (Vec<String>, AuthVerdict) {
        match self.check(request) {
            Verdict::Challenge(challenge, why) => (lines(&self.settings, &challenge), why),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn nonce(&mut self) -> String {
        let (lines, _) = self.challenged(&register());
        param(&lines[0], "nonce")
    }
}

pub(super) fn lines(settings: &Settings, challenge: &Challenge) -> Vec<String> {
    let mut lines = Vec::new();
    challenge.each(settings, |line| lines.push(String::from_utf8(line.to_vec()).expect("ASCII")));
    lines
}

/// The value of a quoted parameter of a challenge.
pub(super) fn param(line: &str, name: &str) -> String {
    let (_, rest) = line.split_once(&format!("{name}=\"")).expect("the parameter");
    rest.split('"').next().expect("a quoted value").into()
}

/// A request as a phone makes it.
#[derive(Clone)]
pub(super) struct Request<'t> {
    pub(super) method: &'t str,
    pub(super) uri: &'t str,
    pub(super) who: &'t str,
    pub(super) body: &'t str,
    pub(super) authorization: Vec<String>,
}

pub(super) fn register() -> Request<'static> {
    Request {
        method: "REGISTER",
        uri: "sip:example.com",
        who: "sip:bob@example.com",
        body: "",
        authorization: vec![],
    }
}

impl Request<'_> {
    pub(super) fn with(&self, authorization: impl Into<String>) -> Self {
        let mut request = self.clone();
        request.authorization.push(authorization.into());
        request
    }

    fn text(&self) -> String {
        let Request { method, uri, who, body, authorization } = self;
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <{who}>;tag=1\r\nTo: <{who}>\r\n\
             Call-ID: 1@192.0.2.9\r\nCSeq: 1 {method}\r\n"
        );
        for line in authorization {
            write!(text, "Authorization: {line}\r\n").expect("memory");
        }
        write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("memory");
        text
    }
}

pub(super) fn why(verdict: &Verdict) -> AuthVerdict {
    match verdict {
        Verdict::Allow(allowed) => allowed.verdict,
        Verdict::Challenge(_, found) | Verdict::Refuse(_, found) => *found,
        Verdict::Delay(verdict, _) => why(verdict),
        Verdict::Park(need) => panic!("parked for {need:?}"),
    }
}

pub(super) fn allowed(verdict: Verdict) -> Allowed {
    match verdict {
        Verdict::Allow(allowed) => allowed,
        other => panic!("{other:?}"),
    }
}

pub(super) fn status(verdict: &Verdict) -> u16 {
    match verdict {
        Verdict::Allow(_) => 200,
        Verdict::Challenge(..) => 401,
        Verdict::Refuse(refusal, _) => refusal.status.0,
        Verdict::Delay(verdict, _) => status(verdict),
        Verdict::Park(_) => 100,
    }
}

#[test]
fn an_open_method_and_a_trusted_peer_need_no_credentials() {
    let mut world = world(|config| config.trusted.push(IpNet::parse("198.51.100.0/24").expect("a network")));
    let options = Request { method: "OPTIONS", ..register() };
    let open = allowed(world.check(&options));
    assert_eq!((open.identity.scheme, open.verdict), (Scheme::None, AuthVerdict::NotAsked));
    assert_eq!(why(&world.check(&register())), AuthVerdict::Missing);
    world.remote = "198.51.100.7:5060".parse().expect("an address");
    let trusted = allowed(world.check(&register()));
    assert_eq!(
        (trusted.identity.scheme, trusted.verdict),
        (Scheme::Trusted, AuthVerdict::Ok(Scheme::Trusted))
    );
    world.remote = "[::ffff:198.51.100.7]:5060".parse().expect("an address");
    assert!(matches!(world.check(&register()), Verdict::Allow(_)));
}

#[test]
fn a_denied_method_is_refused_to_everybody() {
    let mut world = world(|config| {
        config.policies.message = AuthPolicy::Deny;
        config.trusted.push(IpNet::parse("192.0.2.9").expect("a network"));
    });
    let verdict = world.check(&Request { method: "MESSAGE", ..register() });
    assert_eq!((status(&verdict), why(&verdict)), (403, AuthVerdict::NotAllowed));
}

#[test]
fn each_method_has_its_own_policy() {
    let mut world = world(|config| {
        config.policies.register = AuthPolicy::Open;
        config.policies.other = AuthPolicy::Deny;
    });
    let mut method = |method| status(&world.check(&Request { method, ..register() }));
    let methods = ["REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE", "PUBLISH", "OPTIONS", "REFER", "NEW"];
    assert_eq!(methods.map(&mut method), [200, 401, 401, 401, 401, 200, 403, 403]);
}

#[test]
fn what_cannot_be_challenged_is_refused() {
    let mut world = world(|config| config.digest.enabled = false);
    let verdict = world.check(&register());
    assert_eq!((status(&verdict), why(&verdict)), (403, AuthVerdict::Missing));
}

#[test]
fn no_secret_is_ever_printed() {
    let world = world(|config| config.digest.secret = Secret([0x5a; 32]));
    let printed = format!("{:?} {:?}", world.auth, world.settings.digest);
    assert!(!printed.contains("90, 90") && !printed.contains("5a5a"), "{printed}");
    assert!(!format!("{:?}", world.settings.accounts).contains(&ha1_hex(DigestAlgorithm::Md5)));
}

fn ha1_hex(algorithm: DigestAlgorithm) -> String {
    digest::hex(algorithm, &["bob:example.com:zanzibar"])
}
