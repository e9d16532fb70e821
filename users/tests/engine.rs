//! The engine takes the accounts and the tokens of this crate as it takes any.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strowger_core::Engine;
use strowger_core::base::Time;
use strowger_core::config::{
    Config, DigestAlgorithm, HashedCredential, IssuerConfig, JwtConfig, RegistrarConfig,
};
use strowger_core::door::{
    Answer, Command, FlowId, Input, KeysAnswer, Query, ReplyBody, Request, Secret, Transport,
};
use strowger_users::Seconds;
use strowger_users::keys::{Algorithm, KeyRing, RingConfig};
use strowger_users::login::{Login, LoginConfig};
use strowger_users::password::Cost;
use strowger_users::store::{NewAccount, Patch, Store, StoreConfig};
use strowger_users::tokens::{Issuer, TokenConfig};

const NOW: Seconds = 1_800_000_000;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PASSWORD: &str = "builder builder";

/// Logins in a directory of their own.
struct Place {
    dir: PathBuf,
    login: Login,
}

impl Place {
    fn new(name: &str, algorithm: Algorithm) -> Place {
        let dir = std::env::temp_dir().join(format!("strowger-users-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let store =
            StoreConfig { cost: Cost::least(), realms: vec!["example.com".into()], ..StoreConfig::default() };
        let store = Store::open(&dir.join("users.db"), store).unwrap();
        let new =
            NewAccount { digest: true, aors: vec!["bob@example.com".into()], ..NewAccount::named("bob") };
        store.create(&new.with_password(PASSWORD), NOW).unwrap();
        let ring = RingConfig { algorithm, tokens: 660, ..RingConfig::default() };
        let ring = Arc::new(KeyRing::open(&dir.join("keys"), ring, NOW).unwrap());
        let issuer = Issuer::new(ring, TokenConfig::new("https://sip.example.com", "example.com"));
        let login = Login::new(Arc::new(store), Arc::new(issuer), LoginConfig::default());
        Place { dir, login }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// An engine that trusts the issuer of a place.
struct Phone<'p> {
    place: &'p Place,
    engine: Engine,
    now: Seconds,
    cseq: u32,
    /// The key set as a cache on the way holds it, and since when.
    cached: Option<(Seconds, String)>,
}

impl<'p> Phone<'p> {
    fn new(place: &'p Place) -> Phone<'p> {
        let mut config = Config::new("example.com");
        config.registrar = Some(RegistrarConfig::default());
        config.accounts = place.login.store().sip_accounts("example.com", None, 100).unwrap();
        config.jwt = Some(JwtConfig {
            issuers: vec![IssuerConfig {
                issuer: "https://sip.example.com".into(),
                audiences: vec!["example.com".into()],
                jwks: "https://sip.example.com/auth/jwks.json".into(),
                ..IssuerConfig::default()
            }],
            scope: Some("sip".into()),
            aor_claim: "aors".into(),
            allow_cleartext: true,
            ..JwtConfig::default()
        });
        let mut engine = Engine::new(config.validate().unwrap(), [7; 32], Time::from_secs(NOW as u64));
        let (flow, local) = (FlowId(2), "192.0.2.1:5060".parse().unwrap());
        let up =
            Input::FlowUp { flow, listener: 0, transport: Transport::Udp, local, remote: None, peer: None };
        engine.handle(Time::from_secs(NOW as u64), up);
        Phone { place, engine, now: NOW, cseq: 0, cached: None }
    }

    /// The status of a REGISTER with this token.
    fn register(&mut self, aor: &str, token: &str) -> String {
        self.cseq += 1;
        let n = self.cseq;
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{n};rport\r\n\
             From: <sip:{aor}>;tag=1\r\nTo: <sip:{aor}>\r\nCall-ID: {aor}@192.0.2.9\r\nCSeq: {n} REGISTER\r\n\
             Max-Forwards: 70\r\nContact: <sip:b@192.0.2.9>\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let (remote, local) = ("192.0.2.9:5060".parse().unwrap(), "192.0.2.1:5060".parse().unwrap());
        let now = Time::from_secs(self.now as u64);
        while self.engine.poll_timeout().is_some_and(|due| due <= now) {
            self.engine.handle(now, Input::Timeout);
            while self.command().is_some() {}
        }
        self.engine.handle(now, Input::Message { flow: FlowId(2), remote, local, data: text.as_bytes() });
        while let Some(command) = self.command() {
            if let Command::Transmit(transmit) = command {
                let text = String::from_utf8_lossy(&transmit.payload).into_owned();
                return text.lines().next().unwrap().into();
            }
        }
        "nothing".into()
    }

    /// The next command but for questions about keys, which are answered.
    fn command(&mut self) -> Option<Command> {
        loop {
            let command = self.engine.poll_command()?;
            let Command::Ask(Query::Keys(query)) = command else { return Some(command) };
            // A cache may hold it for as long as it is told to, and answers out of that.
            let fresh = self.cached.take().filter(|(since, _)| self.now < since + 300);
            let ring = self.place.login.issuer().ring();
            let cached = fresh.unwrap_or_else(|| (self.now, ring.jwks(self.now).body));
            let json = Secret(cached.1.as_bytes().into());
            self.cached = Some(cached);
            let document = KeysAnswer::Document { json, max_age: Some(Duration::from_secs(300)) };
            let answer = Input::Answer(Answer::Keys(query.ticket, document));
            self.engine.handle(Time::from_secs(self.now as u64), answer);
        }
    }

    /// Tells the engine what is revoked, as a server does when it hears of it.
    fn revoke(&mut self) {
        let issuer = &self.place.login.issuer().config().issuer;
        for revocation in self.place.login.store().revocations().all() {
            let until = Time::from_secs(revocation.until as u64);
            let issuer = issuer.as_str().into();
            let request = Request::Revoke { issuer, tokens: revocation.tokens(), until };
            self.engine.handle(Time::from_secs(self.now as u64), Input::Host { reply: Some(1), request });
            let mut commands = std::iter::from_fn(|| self.command());
            let done = |command| matches!(command, Command::Reply(reply) if reply.body == ReplyBody::Done);
            assert!(commands.any(done));
        }
    }

    fn token(&self) -> String {
        self.place.login.password("bob", PASSWORD, None, HERE, self.now).unwrap().access.0
    }
}

#[test]
fn a_login_registers_its_own_address_and_no_other() {
    for algorithm in Algorithm::ALL {
        let place = Place::new(&format!("login-{}", algorithm.name()), algorithm);
        let mut phone = Phone::new(&place);
        let token = phone.token();
        assert_eq!(phone.register("bob@example.com", &token), "SIP/2.0 200 OK", "{algorithm:?}");
        assert_eq!(phone.register("eve@example.com", &token), "SIP/2.0 403 Forbidden");
        let narrow = ["own".to_string()];
        let narrow = place.login.password("bob", PASSWORD, Some(&narrow), HERE, NOW).unwrap().access.0;
        assert_eq!(phone.register("bob@example.com", &narrow), "SIP/2.0 401 Unauthorized");
        phone.now += 631;
        assert_eq!(phone.register("bob@example.com", &token), "SIP/2.0 401 Unauthorized");
    }
}

#[test]
fn what_was_taken_back_does_not_register_again() {
    let place = Place::new("revoked", Algorithm::EdDsa);
    let mut phone = Phone::new(&place);
    let (ok, no) = ("SIP/2.0 200 OK", "SIP/2.0 401 Unauthorized");
    let login = |phone: &Phone<'_>| place.login.password("bob", PASSWORD, None, HERE, phone.now).unwrap();
    let (one, two) = (login(&phone), login(&phone));
    for tokens in [&one, &two] {
        assert_eq!(phone.register("bob@example.com", &tokens.access.0), ok);
    }
    // A logout, of one of them: the engine remembers both tokens as good.
    place.login.logout(&one.refresh.0, phone.now).unwrap();
    phone.revoke();
    assert_eq!(phone.register("bob@example.com", &one.access.0), no);
    assert_eq!(phone.register("bob@example.com", &two.access.0), ok);
    // The account is disabled, and enabled again: what was issued before stays dead.
    for enabled in [false, true] {
        let patch = Patch { enabled: Some(enabled), ..Patch::default() };
        place.login.store().change("bob", &patch, phone.now).unwrap();
        phone.revoke();
        assert_eq!(phone.register("bob@example.com", &two.access.0), no);
    }
    let three = login(&phone);
    assert_eq!(phone.register("bob@example.com", &three.access.0), ok);
    // An engine that starts anew is told what is on the list, and nothing stays longer than a token lives.
    let mut phone = Phone::new(&place);
    phone.revoke();
    assert_eq!(phone.register("bob@example.com", &two.access.0), no);
    assert_eq!(phone.register("bob@example.com", &three.access.0), ok);
    assert_eq!(phone.engine.sizes().revocations, 2);
    phone.now += 3660;
    phone.engine.handle(Time::from_secs(phone.now as u64), Input::Timeout);
    assert_eq!(phone.engine.sizes().revocations, 0);
}

#[test]
fn keys_turn_without_one_honest_token_refused() {
    let place = Place::new("rotation", Algorithm::Es256);
    let mut phone = Phone::new(&place);
    let ring = place.login.issuer().ring();
    let mut kept: Vec<(Seconds, String)> = Vec::new();
    for minute in 0..120 {
        phone.now = NOW + 60 * minute;
        ring.tick(phone.now).unwrap();
        if minute % 25 == 10 {
            ring.rotate(phone.now).unwrap();
        }
        kept.push((phone.now, phone.token()));
        kept.retain(|(at, _)| at + 600 > phone.now);
        for (_, token) in &kept {
            assert_eq!(phone.register("bob@example.com", token), "SIP/2.0 200 OK", "minute {minute}");
        }
    }
    assert_eq!(ring.list(phone.now).len(), 2, "old keys go");
}

#[test]
fn the_engine_knows_the_digest_credentials_of_the_store() {
    let place = Place::new("digest", Algorithm::EdDsa);
    let mut config = Config::new("example.com");
    config.accounts = place.login.store().sip_accounts("example.com", None, 100).unwrap();
    let settings = config.validate().unwrap();
    let bob = settings.accounts.by_username(b"bob").unwrap();
    for algorithm in [DigestAlgorithm::Md5, DigestAlgorithm::Sha256] {
        let expected = HashedCredential::of(algorithm, "bob", "example.com", PASSWORD);
        assert_eq!(bob.credential(algorithm), Some(&expected));
    }
    assert_eq!(&*bob.identity.aors[0], "bob@example.com");
}
