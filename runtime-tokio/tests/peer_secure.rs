//! The client side over TLS: the name of the server is proved, and tokens are said there and nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use strowger_tokio::core::base::Time;
use strowger_tokio::core::base::text;
use strowger_tokio::core::config::{AuthPolicy, ListenerConfig};
use strowger_tokio::core::door::{Secret, Transport, UaRegistration, UaStep};
use strowger_tokio::shell::clock::Clock;
use strowger_tokio::shell::peer::PeerEvent;
use strowger_tokio::shell::tls::{TlsFiles, TlsServer};
use strowger_tokio::shell::token::{Denial, Grant, Want};
use strowger_tokio::{Options, PeerError, Server, SimpleB2bua, SimplePeer};

/// The year 2100.
const LATER: u64 = 4_102_444_800;

/// The public half of a key, as an issuer publishes it.
fn key_set(key: &Ed25519KeyPair) -> String {
    let x = base64(key.public_key().as_ref());
    format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#)
}

/// A token for bob, good for this audience.
fn token(key: &Ed25519KeyPair, audience: &str) -> Secret<String> {
    let head = base64(br#"{"alg":"EdDSA","kid":"k"}"#);
    let claims = format!(r#"{{"iss":"urn:login","sub":"bob@localhost","aud":"{audience}","exp":{LATER}}}"#);
    let signed = format!("{head}.{}", base64(claims.as_bytes()));
    Secret(format!("{signed}.{}", base64(key.sign(signed.as_bytes()).as_ref())))
}

/// A folder of a test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let dir = std::env::temp_dir().join(format!("strowger-peer-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        Folder(dir)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.0.join(name), text).expect("written");
        self.0.join(name)
    }

    /// A certificate for localhost that vouches for itself.
    fn certified(&self) -> (TlsServer, PathBuf) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let certificate = self.put("cert.pem", made.cert.pem());
        let key = self.put("key.pem", made.signing_key.serialize_pem());
        let files = TlsFiles { certificate: certificate.clone(), key, ..TlsFiles::default() };
        (TlsServer::open(files).expect("certificates"), certificate)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn base64(bytes: &[u8]) -> String {
    let mut out = vec![0; text::base64url_len(bytes.len())];
    String::from_utf8(text::base64url(bytes, &mut out).expect("room").to_vec()).expect("ASCII")
}

/// A server on TLS alone, and where.
async fn lobby(tls: TlsServer, change: impl FnOnce(SimpleB2bua) -> SimpleB2bua) -> (Server, String) {
    let mut options = Options::default();
    options.stream.tls = Some(tls);
    let addr = "127.0.0.1:0".parse().expect("an address");
    let listener = ListenerConfig { transport: Transport::Tls, addr, advertised: None, algorithms: None };
    let lobby = SimpleB2bua::new("Lobby", 0).listen([listener]).options(options).enable_registration();
    let lobby = change(lobby.enable_messages()).bind().await.expect("a server");
    let server = format!("sip:localhost:{};transport=tls", lobby.listeners()[0].addr.port());
    (lobby, server)
}

#[tokio::test]
async fn a_peer_is_at_home_over_tls_and_called_back_over_its_connection() {
    let folder = Folder::new("tls");
    let (tls, authority) = folder.certified();
    let (lobby, server) =
        lobby(tls, |lobby| lobby.account("alice", "a long secret").account("bob", "another")).await;
    let start = |user: &str, password: &str| {
        SimplePeer::new(format!("sip:{user}@localhost")).password(password).server(&server)
    };
    let (alice, _) = start("alice", "a long secret").authorities(&authority).start().await.expect("a peer");
    let (bob, mut events) = start("bob", "another").authorities(&authority).start().await.expect("a peer");
    alice.register().await.expect("registered");
    bob.register().await.expect("registered");
    assert!(alice.message("bob@localhost", "hello").await.expect("handed over"));
    assert!(events.next().await.is_some());
    // By the authorities of the machine it is nobody.
    let (doubtful, _) = start("alice", "a long secret").start().await.expect("a peer");
    assert!(matches!(doubtful.register().await, Err(PeerError::Answered(503))));
    for peer in [alice, bob, doubtful] {
        peer.close().await.expect("closed");
    }
    lobby.handle().shutdown().expect("running");
    lobby.stopped().await.expect("in order");
}

/// A server where phones register with tokens that this key signs.
async fn lobby_of_tokens(folder: &Folder, tls: TlsServer, key: &Ed25519KeyPair) -> (Server, String) {
    let jwks = folder.put("jwks.json", key_set(key)).display().to_string();
    lobby(tls, |lobby| {
        lobby.issuer("urn:login", ["sip"], jwks).configure(|config| {
            config.policies.register = AuthPolicy::Bearer;
            config.jwt.as_mut().expect("jwt").authz_server = Some("https://login.example".into());
        })
    })
    .await
}

#[tokio::test]
async fn a_token_registers_and_a_newer_one_goes_on() {
    let folder = Folder::new("token");
    let (tls, authority) = folder.certified();
    let key = Ed25519KeyPair::generate().expect("a key");
    let (lobby, server) = lobby_of_tokens(&folder, tls, &key).await;
    let token = |audience| token(&key, audience).0;
    let peer =
        SimplePeer::new("sip:bob@localhost").server(&server).authorities(&authority).token(token("mail"));
    let (bob, _) = peer.start().await.expect("a peer");
    assert!(matches!(bob.register().await, Err(PeerError::Answered(400..=499))));
    bob.renew(token("sip")).await.expect("renewed");
    bob.register().await.expect("registered");
    assert!(lobby.handle().is_registered("bob@localhost").await.expect("a look-up"));
    bob.close().await.expect("closed");
    assert!(!lobby.handle().is_registered("bob@localhost").await.expect("a look-up"));
    lobby.handle().shutdown().expect("running");
    lobby.stopped().await.expect("in order");
}

#[tokio::test]
async fn a_program_is_asked_for_tokens_before_they_expire_and_when_one_is_not_taken() {
    let folder = Folder::new("provider");
    let (tls, authority) = folder.certified();
    let key = Ed25519KeyPair::generate().expect("a key");
    let (lobby, server) = lobby_of_tokens(&folder, tls, &key).await;
    let (tell, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let clock = Clock::start();
    let mut turn = 0;
    let provider = move |want: Want| {
        turn += 1;
        tell.send(want.clone()).expect("somebody listens");
        match turn {
            // For somebody else: it is not taken.
            1 => Ok(Grant { access: token(&key, "mail"), expires: Time::from_secs(LATER), refresh: None }),
            2 => Err(Denial::Trouble),
            3 | 4 => {
                let expires = clock.now() + Duration::from_millis(800);
                let refresh = Some(Secret(format!("refresh {turn}")));
                Ok(Grant { access: token(&key, "sip"), expires, refresh })
            }
            _ => Err(Denial::Refused),
        }
    };
    let peer =
        SimplePeer::new("sip:bob@localhost").server(&server).authorities(&authority).token_from(provider);
    let (bob, mut events) = peer.start().await.expect("a peer");
    assert_eq!(asked.recv().await, Some(Want::Login), "before it starts");
    assert!(matches!(bob.register().await, Err(PeerError::Answered(401))));
    // It is not taken: another is wanted, and the server is asked again with it.
    assert_eq!(asked.recv().await, Some(Want::Login));
    assert_eq!(asked.recv().await, Some(Want::Login), "after trouble");
    let is_registered = |event: &PeerEvent| {
        matches!(
            event,
            PeerEvent::Told(UaStep::Registration { state: UaRegistration::Registered { .. }, .. })
        )
    };
    while !is_registered(&events.next().await.expect("an event")) {}
    assert!(lobby.handle().is_registered("bob@localhost").await.expect("a look-up"));
    // Before it expires.
    assert_eq!(asked.recv().await, Some(Want::Refresh(Secret("refresh 3".into()))));
    assert_eq!(asked.recv().await, Some(Want::Refresh(Secret("refresh 4".into()))));
    assert_eq!(asked.recv().await, Some(Want::Login), "the refresh token was refused");
    bob.close().await.expect("closed");
    drop((bob, events));
    assert_eq!(asked.recv().await, None, "a login that was refused is not tried again, and the thread ends");
    lobby.handle().shutdown().expect("running");
    lobby.stopped().await.expect("in order");
}
