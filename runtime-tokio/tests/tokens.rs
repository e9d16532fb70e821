//! Tokens of others over real sockets: an OpenID Connect issuer that says where its keys are, and an authorization server
//! that is asked about tokens that mean nothing to us (RFC 7662).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use strowger_tokio::core::base::text;
use strowger_tokio::core::config::{AuthPolicy, IntrospectionConfig, JwtConfig, ListenerConfig};
use strowger_tokio::core::door::{Secret, Transport};
use strowger_tokio::{Notice, Server, SimpleB2bua};

const PATIENCE: Duration = Duration::from_secs(20);
/// The year 2100.
const LATER: u64 = 4_102_444_800;

/// What a request asked: its path, and its body.
type Asked = mpsc::Receiver<(String, String)>;

/// A web server on loopback; the thread ends with the test.
fn serve(answer: impl Fn(SocketAddr, &str, &str) -> Option<String> + Send + 'static) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind loopback");
    let addr = listener.local_addr().expect("bound");
    let (tx, asked) = mpsc::channel();
    let server = thread::Builder::new().spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.expect("accepted"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).expect("request head");
            }
            let lower = head.to_ascii_lowercase();
            let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
            reader.read_exact(&mut body).expect("request body");
            let (path, body) = (head.split(' ').nth(1).expect("path"), String::from_utf8_lossy(&body));
            let (status, json) = match answer(addr, path, &body) {
                Some(json) => ("200 OK", json),
                None => ("404 Not Found", String::new()),
            };
            let response = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}",
                json.len()
            );
            // Told before it is answered, so that whoever has the answer finds it told.
            let _ = tx.send((path.into(), body.into()));
            let _ = reader.get_mut().write_all(response.as_bytes());
        }
    });
    server.expect("thread");
    (addr, asked)
}

fn base64(bytes: &[u8]) -> String {
    let mut out = vec![0; text::base64url_len(bytes.len())];
    String::from_utf8(text::base64url(bytes, &mut out).expect("room").to_vec()).expect("ASCII")
}

fn server() -> SimpleB2bua {
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let udp = ListenerConfig { transport: Transport::Udp, addr, advertised: None, algorithms: None };
    SimpleB2bua::new("Lobby", 0).domain("example.com").listen(vec![udp]).enable_registration().configure(
        |config| {
            config.policies.register = AuthPolicy::Bearer;
            let jwt = config.jwt.get_or_insert_with(JwtConfig::default);
            jwt.allow_cleartext = true;
            jwt.authz_server = Some("https://login.example".into());
        },
    )
}

/// The status of a REGISTER with a token: the final one.
fn register(server: &Server, client: &UdpSocket, token: &str, cseq: u32) -> String {
    answer(server, client, token, cseq)[8..11].to_owned()
}

/// The final answer to it; an empty token is none.
fn answer(server: &Server, client: &UdpSocket, token: &str, cseq: u32) -> String {
    let local = client.local_addr().expect("bound");
    let shown = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{cseq};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=f\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: {local}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:bob@{local}>\r\n\
         {shown}Content-Length: 0\r\n\r\n"
    );
    client.set_read_timeout(Some(PATIENCE)).expect("set");
    client.send_to(text.as_bytes(), server.listeners()[0].addr).expect("sent");
    let mut buffer = vec![0; 65_536];
    loop {
        let (len, _) = client.recv_from(&mut buffer).expect("an answer in time");
        let answer = String::from_utf8_lossy(&buffer[..len]).into_owned();
        if !answer.starts_with("SIP/2.0 100 ") {
            return answer;
        }
    }
}

#[tokio::test]
async fn tokens_of_an_openid_issuer_that_says_where_its_keys_are_register() {
    let key = Ed25519KeyPair::generate().expect("a key");
    let x = base64(key.public_key().as_ref());
    let (addr, _asked) = serve(move |addr, path, _| match path {
        "/.well-known/openid-configuration" => {
            Some(format!(r#"{{"issuer":"http://{addr}","jwks_uri":"http://{addr}/keys"}}"#))
        }
        "/keys" => Some(format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#)),
        _ => None,
    });
    let issuer = format!("http://{addr}");
    let (tx, told) = mpsc::channel();
    let server = server()
        .discover(issuer.as_str(), ["sip"])
        .on_notice(move |notice| _ = tx.send(notice))
        .bind()
        .await
        .expect("started");
    let fetched = told.recv_timeout(PATIENCE).expect("told");
    assert_eq!(fetched, Notice::KeysFetched { source: issuer.as_str().into() });
    let token = |iss: &str| {
        let claims = format!(r#"{{"iss":"{iss}","sub":"bob","aud":"sip","exp":{LATER}}}"#);
        let signed = format!("{}.{}", base64(br#"{"alg":"EdDSA","kid":"k"}"#), base64(claims.as_bytes()));
        format!("{signed}.{}", base64(key.sign(signed.as_bytes()).as_ref()))
    };
    let client = UdpSocket::bind("127.0.0.1:0").expect("client");
    assert_eq!(register(&server, &client, &token(&issuer), 1), "200");
    assert_eq!(register(&server, &client, &token("https://other.example"), 2), "401");
}

#[tokio::test]
async fn enable_auth_takes_tokens_signed_with_the_keys_of_a_url_and_challenges_all_others() {
    let key = Ed25519KeyPair::generate().expect("a key");
    let x = base64(key.public_key().as_ref());
    let (addr, asked) = serve(move |_, path, _| {
        (path == "/keys")
            .then(|| format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#))
    });
    let addr_of_keys = format!("http://{addr}/keys");
    let start = |in_clear: bool| {
        let (tx, told) = mpsc::channel();
        let any = ListenerConfig {
            transport: Transport::Udp,
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertised: None,
            algorithms: None,
        };
        let server = SimpleB2bua::new("Lobby", 0)
            .domain("example.com")
            .listen(vec![any])
            .enable_registration()
            .enable_auth(addr_of_keys.as_str())
            .configure(move |config| {
                let jwt = config.jwt.as_mut().expect("switched on");
                jwt.allow_cleartext = in_clear;
                jwt.authz_server = Some("https://login.example".into());
            })
            .on_notice(move |notice| _ = tx.send(notice));
        (server, told)
    };
    let (open, told) = start(true);
    let open = open.bind().await.expect("started");
    let fetched = told.recv_timeout(PATIENCE).expect("told");
    assert_eq!(fetched, Notice::KeysFetched { source: addr_of_keys.as_str().into() });
    assert_eq!(asked.try_recv().expect("asked").0, "/keys");
    // The origin of the keys signs, for the domain.
    let token = |sub: &str, aud: &str, key: &Ed25519KeyPair| {
        let claims = format!(r#"{{"iss":"http://{addr}","sub":"{sub}","aud":"{aud}","exp":{LATER}}}"#);
        let signed = format!("{}.{}", base64(br#"{"alg":"EdDSA","kid":"k"}"#), base64(claims.as_bytes()));
        format!("{signed}.{}", base64(key.sign(signed.as_bytes()).as_ref()))
    };
    let other = Ed25519KeyPair::generate().expect("a key");
    let client = UdpSocket::bind("127.0.0.1:0").expect("client");
    let good = answer(&open, &client, &token("bob", "example.com", &key), 1);
    assert!(good.starts_with("SIP/2.0 200 ") && good.contains("\r\nContact: <sip:bob@"), "{good}");
    let offer = "WWW-Authenticate: Bearer realm=\"example.com\", authz_server=\"https://login.example\"";
    let asks = answer(&open, &client, "", 2);
    assert!(asks.starts_with("SIP/2.0 401 ") && asks.contains(&format!("{offer}\r\n")), "{asks}");
    assert!(asks.contains("WWW-Authenticate: Digest "), "beside Digest: {asks}");
    let bad = [token("bob", "example.com", &other), token("bob", "mail", &key), "no.token".into()];
    for (cseq, token) in (3..).zip(bad) {
        let refused = answer(&open, &client, &token, cseq);
        assert!(refused.starts_with("SIP/2.0 401 "), "{refused}");
        assert!(refused.contains(&format!("{offer}, error=\"invalid_token\"\r\n")), "{refused}");
    }
    assert_eq!(register(&open, &client, &token("alice", "example.com", &key), 9), "403");

    // Without a word of the program tokens are not taken where anybody may listen, nor asked for.
    let (closed, told) = start(false);
    let closed = closed.bind().await.expect("started");
    told.recv_timeout(PATIENCE).expect("told");
    let refused = answer(&closed, &client, &token("bob", "example.com", &key), 10);
    assert!(!refused.starts_with("SIP/2.0 200 ") && !refused.contains("Bearer"), "{refused}");
}

#[tokio::test]
async fn tokens_that_mean_nothing_are_asked_about_once() {
    let (addr, asked) = serve(|_, _, body| {
        if body.starts_with("token=down&") {
            return None;
        }
        let active = body.starts_with("token=good%2Ftoken&");
        Some(format!(r#"{{"active":{active},"sub":"bob","exp":{LATER}}}"#))
    });
    let (tx, told) = mpsc::channel();
    let server = server()
        .configure(|config| {
            let jwt = config.jwt.as_mut().expect("tokens");
            jwt.introspection = Some(IntrospectionConfig {
                endpoint: format!("http://{addr}/introspect"),
                client_id: "strowger".into(),
                client_secret: Secret("between us".into()),
                issuer: "https://login.example".into(),
                ..IntrospectionConfig::default()
            });
        })
        .on_notice(move |notice| _ = tx.send(notice))
        .bind()
        .await
        .expect("started");
    let client = UdpSocket::bind("127.0.0.1:0").expect("client");
    let mut cseq = 0;
    let mut status = |token: &str| {
        cseq += 1;
        register(&server, &client, token, cseq)
    };
    assert_eq!(["good/token", "good/token", "bad", "bad"].map(&mut status), ["200", "200", "401", "401"]);
    assert_eq!(status("down"), "503");
    assert!(matches!(told.recv_timeout(PATIENCE), Ok(Notice::IntrospectionUnavailable { .. })));
    let asked: Vec<_> = asked.try_iter().collect();
    let bodies: Vec<_> = asked.iter().map(|(_, body)| body.split('&').next().unwrap_or_default()).collect();
    assert_eq!(bodies, ["token=good%2Ftoken", "token=bad", "token=down"]);
    assert!(asked.iter().all(|(path, _)| path == "/introspect"));
}
