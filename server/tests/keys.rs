//! Keys of issuers over HTTPS: from an authority of one's own, and all that an issuer may do wrong.
#![allow(clippy::disallowed_methods)] // Tests of a process have the process's clock.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use common::{Folder, PATIENCE, Phone, Running, answered, header, strowger, text};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use strowger_core::base::Time;
use strowger_sim::issuer::Issuer;

const ISSUER: &str = "https://login.example.com/";

/// A site on loopback that says the same to whoever asks, over HTTPS with a certificate that only its folder knows.
struct Site {
    addr: SocketAddr,
    says: Arc<Mutex<Vec<u8>>>,
}

impl Site {
    fn new(folder: &Folder, says: Vec<u8>) -> Site {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let certificate = folder.write("authority.pem", &made.cert.pem());
        let chain = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a pair");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let says = Arc::new(Mutex::new(says));
        let site = Site { addr, says: Arc::clone(&says) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
                let mut reader = BufReader::new(StreamOwned::new(session, stream));
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
                // Who does not believe the certificate asks nothing.
                if head.ends_with("\r\n\r\n") {
                    let says = says.lock().expect("one writer").clone();
                    let _ = reader.get_mut().write_all(&says);
                    reader.get_mut().conn.send_close_notify();
                    let _ = reader.get_mut().flush();
                }
            }
        });
        site
    }

    fn says(&self, answer: impl Into<Vec<u8>>) {
        *self.says.lock().expect("one writer") = answer.into();
    }
}

fn page(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

/// A server for the tokens of an issuer whose keys are at the site, with these authorities in place of those of the machine.
fn start(folder: &Folder, site: &Site, authority: Option<&str>) -> Running {
    let config = format!(
        "[[domain]]\nname = \"example.com\"\n[auth.jwt]\nallow_cleartext = true\nauthz_server = \"{ISSUER}\"\n\
         [[auth.jwt.issuer]]\nissuer = \"{ISSUER}\"\naudiences = [\"sip\"]\n\
         jwks = \"https://localhost:{}/keys\"\n",
        site.addr.port()
    );
    let (file, state) = (folder.write("strowger.toml", &config), folder.path("state"));
    let path = |path: &std::path::Path| path.display().to_string();
    let (file, state) = (path(&file), path(&state));
    let mut command = strowger(&["serve", "-c", &file, "--state-dir", &state, "--http", "off"]);
    command.args(["--listen", "udp:127.0.0.1:0"]);
    command.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE");
    if let Some(name) = authority {
        command.env("SSL_CERT_FILE", folder.path(name));
    }
    Running::spawn(&mut command)
}

fn register(phone: &mut Phone, issuer: &Issuer) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let now = Time::from_secs(now.as_secs());
    let token = issuer.token(now, "carol@example.com", "sip", Duration::from_secs(300));
    phone.ask("REGISTER", &format!("Expires: 600\r\nAuthorization: Bearer {token}\r\n"))
}

#[test]
fn keys_come_over_https_where_the_certificate_is_believed_and_from_nowhere_else() {
    let folder = Folder::new();
    let issuer = Issuer::new(ISSUER, 7);
    let site = Site::new(&folder, page(&issuer.document()));
    let mut server = start(&folder, &site, Some("authority.pem"));
    server.wait_for_log("keys fetched");
    let mut carol = Phone::udp(server.addr("udp"), "carol", "example.com");
    let ok = register(&mut carol, &issuer);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    drop(server);

    let mut server = start(&folder, &site, None);
    let log = server.wait_for_log("keys unavailable");
    assert!(log.to_lowercase().contains("certificate"), "{log}");
    let mut carol = Phone::udp(server.addr("udp"), "carol", "example.com");
    // Nobody is told that his token is wrong: it could not be looked at.
    let later = register(&mut carol, &issuer);
    assert!(later.starts_with("SIP/2.0 503 ") && header(&later, "Retry-After").is_some(), "{later}");
    assert!(carol.ask("OPTIONS", "").starts_with("SIP/2.0 200 "));
}

#[test]
fn an_issuer_that_goes_wrong_locks_nobody_out_and_sends_nobody_elsewhere() {
    let folder = Folder::new();
    let (issuer, other) = (Issuer::new(ISSUER, 7), Issuer::new(ISSUER, 8));
    let site = Site::new(&folder, page(&issuer.document()));
    let mut server = start(&folder, &site, Some("authority.pem"));
    server.wait_for_log("keys fetched");
    let mut carol = Phone::udp(server.addr("udp"), "carol", "example.com");
    assert!(register(&mut carol, &issuer).starts_with("SIP/2.0 200 "));
    let forbidden = TcpListener::bind("127.0.0.1:0").expect("a port");
    forbidden.set_nonblocking(true).expect("set");
    let clear = format!("http://{}/keys", forbidden.local_addr().expect("bound"));
    let file = folder.write("keys.json", &text(&other.document()));
    let own = format!("https://localhost:{}/keys", site.addr.port());
    let huge = [&b"{\"keys\":["[..], &b" ".repeat(70_000), b"]}"].concat();
    for (what, answer) in [
        ("an error", b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()),
        ("nothing", Vec::new()),
        ("no HTTP", b"hello\r\n\r\n".to_vec()),
        ("a page", page(b"<html>Please log in</html>")),
        ("JSON that is no key set", page(b"{\"error\":\"gone\"}")),
        ("half a key set", page(&issuer.document()[..40])),
        ("a huge one", page(&huge)),
        ("a redirect into clear text", redirect(&clear).into()),
        ("a redirect to a file", redirect(&format!("file://{}", file.display())).into()),
        ("a redirect in a circle", redirect(&own).into()),
    ] {
        site.says(answer);
        server.signal(Signal::HUP);
        server.wait_for_log("keys unavailable");
        // The keys that were there stay in force.
        let ok = register(&mut carol, &issuer);
        assert!(ok.starts_with("SIP/2.0 200 "), "{what}: {ok}");
        assert!(!register(&mut carol, &other).starts_with("SIP/2.0 200 "), "{what}");
    }
    assert!(forbidden.accept().is_err(), "nobody came");
    site.says(page(&other.document()));
    server.signal(Signal::HUP);
    // They are in force a moment after they came.
    server.wait_for_log("keys fetched");
    answered(|| register(&mut carol, &other), 200);
}
