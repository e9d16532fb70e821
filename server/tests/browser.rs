//! Headless Chromium against the built binary: JsSIP over WS and SIP.js over WSS in one page register, write to each other,
//! publish and watch presence, call each other with sound, and call SIPp; and one of them hears a plain phone by way of a real
//! rtpengine. The page is served by the server itself.
//!
//! Where a browser or npm is missing the test says that it was skipped; `STROWGER_REQUIRE_CLIENTS=1` makes that a failure.
#![allow(clippy::disallowed_methods)] // Tests of a process have the process's clock.

mod common;

#[path = "interop/client.rs"]
mod client;
#[path = "media/phone.rs"]
#[allow(dead_code)] // Every test binary uses its own part.
mod phone;
#[path = "media/rtpengine.rs"]
#[allow(dead_code)] // Every test binary uses its own part.
mod rtpengine;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use common::{Folder, Running, header, until};
use phone::{Phone, packet, wanted};
use rtpengine::Rtpengine;

/// npm fetches what is not in its cache.
const FETCH: Duration = Duration::from_secs(240);

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser").join(name)
}

/// The page with its libraries in one script.
fn page() -> &'static Path {
    static PAGE: OnceLock<PathBuf> = OnceLock::new();
    PAGE.get_or_init(build)
}

/// Builds it in the target folder.
fn build() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    fs::create_dir_all(&folder).expect("a folder for the page");
    let phone = folder.join("phone");
    for (to, from, names) in [
        (&folder, here(""), &["package.json", "package-lock.json", "page.html", "page.js"]),
        (&phone, here("../../phone"), &["package.json", "package-lock.json", "index.html", "src.js"]),
    ] {
        fs::create_dir_all(to).expect("a folder for the page");
        for name in names {
            fs::copy(from.join(name), to.join(name)).expect("copied");
        }
        for args in [&["ci", "--no-audit", "--no-fund"][..], &["run", "build"]] {
            let output = client::run(Command::new("npm").args(args).current_dir(to), FETCH);
            assert!(output.status.success(), "npm {args:?}: {}", client::said(&output));
        }
    }
    // The test's page beside the phone that it looks into.
    let served = phone.join("dist");
    for name in ["page.html", "bundle.js"] {
        fs::copy(folder.join(name), served.join(name)).expect("copied");
    }
    served
}

fn serve(folder: &Folder, page: &Path) -> Running {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let cert = folder.write("cert.pem", &made.cert.pem());
    let key = folder.write("key.pem", &made.signing_key.serialize_pem());
    let text = format!(
        "[[domain]]\nname = \"localhost\"\naliases = [\"127.0.0.1\"]\n\
         [[listen]]\nbind = \"udp:127.0.0.1:0\"\n[[listen]]\nbind = \"ws:127.0.0.1:0\"\n[[listen]]\nbind = \"wss:127.0.0.1:0\"\n\
         [tls]\ncertificate = \"{}\"\nkey = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\nphone = \"{}\"\n\
         [[account]]\nusername = \"alice\"\npassword = \"wonderland\"\n[[account]]\nusername = \"bob\"\npassword = \"builder\"\n\
         [[account]]\nusername = \"carol\"\npassword = \"christmas\"\n[auth.digest]\nalgorithms = [\"MD5\"]\n",
        cert.display(),
        key.display(),
        page.display(),
    );
    let (file, state) = (folder.write("strowger.toml", &text), folder.path("state"));
    Running::start(&["serve", "-c", &file.display().to_string(), "--state-dir", &state.display().to_string()])
}

/// carol: SIPp, which answers one call. Her registration is made for her, from her address.
fn carol(server: &Running, folder: &Folder) -> Child {
    let port = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let mut phone = common::Phone::udp(server.addr("udp"), "carol", "localhost");
    let contact = format!("Contact: <sip:carol@127.0.0.1:{port}>;expires=600\r\n");
    let challenge = phone.ask("REGISTER", "");
    let credentials =
        phone.answer(&challenge, strowger_core::base::hash::DigestAlgorithm::Md5, "christmas", 1);
    let own = format!("Contact: <sip:carol@{};transport=udp>\r\n", phone.local);
    let request = phone.request("REGISTER", &credentials).replace(&own, &contact);
    phone.send(request.as_bytes());
    let answer = phone.receive();
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    let mut sipp = Command::new("sipp");
    sipp.arg("-sf").arg(here("callee.xml")).args([
        "-i",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-m",
        "1",
        "-nostdin",
    ]);
    sipp.current_dir(folder.path("")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    sipp.spawn().expect("sipp starts")
}

/// Takes the report of the page: the body of one POST.
fn reported(listener: &TcpListener) -> String {
    let (mut stream, _) = until(
        || listener.accept(),
        |accepted| match accepted {
            Ok(_) => true,
            Err(_) => {
                std::thread::sleep(Duration::from_millis(50));
                false
            }
        },
    )
    .expect("the page reports");
    stream.set_nonblocking(false).expect("set");
    read_post(&mut stream)
}

fn read_post(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
                return body.to_owned();
            }
        }
        let read = stream.read(&mut chunk).expect("readable");
        assert!(read > 0, "the report ended early: {text}");
        bytes.extend_from_slice(&chunk[..read]);
    }
}

/// A browser on this page.
fn open(folder: &Folder, url: &str) -> Child {
    Command::new("chromium")
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--ignore-certificate-errors",
        ])
        .args([
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            "--no-first-run",
            "--mute-audio",
        ])
        .args(["--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", folder.path("profile").display()))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromium starts")
}

#[test]
fn two_phones_in_a_page_do_all_that_phones_do() {
    if !["node", "npm", "chromium", "sipp"].into_iter().all(client::is_there) {
        return;
    }
    let folder = Folder::new();
    let server = serve(&folder, page());
    let mut carol = carol(&server, &folder);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    listener.set_nonblocking(true).expect("set");
    let url = format!(
        "http://{}/phone/page.html?ws=ws://{}&wss=wss://{}&report=http://{}/",
        server.http(),
        server.addr("ws"),
        server.addr("wss"),
        listener.local_addr().expect("bound"),
    );
    let mut browser = open(&folder, &url);
    let report = reported(&listener);
    client::stop(&mut browser);
    client::stop(&mut carol);
    insta::assert_snapshot!(report.replace("\",\"", "\",\n\""));
}

/// Sends and hears sound until the page has heard enough and hangs up: its BYE.
fn talk(phone: &Phone, at: SocketAddr) -> String {
    let (mut heard, mut number) = (0usize, 0u16);
    let bye = until(
        || {
            number = number.wrapping_add(1);
            phone.sound.send_to(&packet(number), at).expect("sent");
            heard += usize::from(phone.hears().is_some_and(|(data, _)| data.first() == Some(&0x80)));
            phone.received()
        },
        |message| message.starts_with("BYE "),
    );
    assert!(bye.starts_with("BYE ") && heard >= 20, "{heard} packets came, and {bye:?}");
    bye
}

#[test]
fn a_browser_and_a_plain_phone_hear_each_other_by_way_of_an_rtpengine() {
    if !["node", "npm", "chromium", "rtpengine"].into_iter().all(client::is_there) {
        return;
    }
    let (folder, engine) = (Folder::new(), Rtpengine::start());
    let text = format!(
        "[[domain]]\nname = \"localhost\"\naliases = [\"127.0.0.1\"]\n\
         [[listen]]\nbind = \"udp:127.0.0.1:0\"\n[[listen]]\nbind = \"ws:127.0.0.1:0\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\nphone = \"{}\"\n[auth.policy]\nregister = \"open\"\ninvite = \"open\"\n\
         [[account]]\nusername = \"alice\"\npassword = \"wonderland\"\n[[account]]\nusername = \"carol\"\npassword = \"christmas\"\n\
         [media]\nmode = \"auto\"\nrtpengine = \"udp:{}\"\n",
        page().display(),
        engine.at,
    );
    let (file, state) = (folder.write("strowger.toml", &text), folder.path("state"));
    let server = Running::start(&[
        "serve",
        "-c",
        &file.display().to_string(),
        "--state-dir",
        &state.display().to_string(),
    ]);
    let carol = Phone::new(server.addr("udp"));
    let own = "From: <sip:carol@localhost>;tag=r\r\nTo: <sip:carol@localhost>\r\nCall-ID: reg\r\n";
    carol.send(&carol.request("REGISTER", "sip:localhost", 1, own, ""));
    carol.receive("SIP/2.0 200 ");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    listener.set_nonblocking(true).expect("set");
    let url = format!(
        "http://{}/phone/page.html?gateway=1&ws=ws://{}&report=http://{}/",
        server.http(),
        server.addr("ws"),
        listener.local_addr().expect("bound"),
    );
    let mut browser = open(&folder, &url);

    let invite = carol.receive("INVITE ");
    assert!(invite.contains(" RTP/AVP "), "{invite}");
    carol.accept(&invite, &carol.sdp("127.0.0.1"));
    carol.receive("ACK ");
    let bye = talk(&carol, wanted(&invite));
    carol.accept(&bye, "");

    let lines = "From: <sip:carol@localhost>;tag=back\r\nTo: <sip:alice@localhost>\r\nCall-ID: back\r\n";
    carol.send(&carol.request("INVITE", "sip:alice@localhost", 1, lines, &carol.sdp("127.0.0.1")));
    let ok = carol.receive("SIP/2.0 200 ");
    let contact = header(&ok, "Contact").and_then(|c| c.split('<').nth(1)?.split('>').next());
    let within = format!(
        "From: <sip:carol@localhost>;tag=back\r\nTo: {}\r\nCall-ID: back\r\n",
        header(&ok, "To").expect("a To")
    );
    carol.send(&carol.request("ACK", contact.expect("a Contact"), 1, &within, ""));
    let bye = talk(&carol, wanted(&ok));
    carol.accept(&bye, "");

    let report = reported(&listener);
    client::stop(&mut browser);
    insta::assert_snapshot!(report.replace("\",\"", "\",\n\""));
}
