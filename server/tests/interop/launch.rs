//! A server of one test: the built binary with a configuration of its own, a folder of its own and a free port.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::client;

/// A running server. It ends with its value.
pub(crate) struct Server {
    child: Child,
    dir: PathBuf,
    /// Where it listens, for UDP and for TCP.
    pub(crate) addr: SocketAddr,
    /// Where it listens for TLS, with a certificate of `cert.pem` in its folder.
    pub(crate) tls: SocketAddr,
}

impl Server {
    /// Starts one for `example.com` and waits until it answers. `name` is that of the test.
    pub(crate) fn start(name: &str, config: &str) -> Server {
        let dir =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("interop-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder for the test");
        let file = dir.join("strowger.toml");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]);
        let made = made.expect("a certificate");
        let files = [("cert.pem", made.cert.pem()), ("key.pem", made.signing_key.serialize_pem())];
        let [cert, key] = files.map(|(name, text)| {
            fs::write(dir.join(name), text).expect("a file for the test");
            dir.join(name)
        });
        let base = "[[domain]]\nname = \"example.com\"\naliases = [\"127.0.0.1\"]\n";
        let tls = format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", cert.display(), key.display());
        fs::write(&file, format!("{base}{tls}{config}")).expect("a file for the test");
        let (addr, tls) = (free(), free());
        let log = || Stdio::from(File::create(dir.join("log")).expect("a file for the log"));
        let child = Command::new(env!("CARGO_BIN_EXE_strowger"))
            .arg("serve")
            .args([Path::new("-c"), &file, Path::new("--state-dir"), &dir.join("state")])
            .args(["--listen", &format!("udp:{addr}"), "--listen", &format!("tcp:{addr}")])
            .args(["--listen", &format!("tls:{tls}"), "--http", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(File::create(dir.join("err")).expect("a file for the log"))
            .spawn()
            .expect("the server starts");
        let mut server = Server { child, dir, addr, tls };
        server.wait_until_up();
        server
    }

    /// The folder of the test; it ends with the server.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Sends a request and gives the answer; it is sent again until there is one, as RFC 3261 s17.1.2 asks.
    pub(crate) fn ask(&self, request: &dyn Fn(SocketAddr) -> String) -> Option<String> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.connect(self.addr).expect("loopback");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a time");
        let text = request(socket.local_addr().expect("it is bound"));
        let mut buffer = vec![0; 65_536];
        (0..4).find_map(|_| {
            // Nobody may listen yet, which the next read or write reports.
            let _ = socket.send(text.as_bytes());
            let len = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(buffer.get(..len)?).into_owned())
        })
    }

    /// Where it serves HTTP, as it printed.
    #[allow(dead_code)] // Every test binary uses its own part.
    pub(crate) fn http(&self) -> SocketAddr {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let log = self.log();
            let url = log.split_once("To register a softphone").and_then(|(banner, _)| {
                banner.split_whitespace().find_map(|word| word.strip_prefix("http://"))?.split('/').next()
            });
            if let Some(url) = url {
                return url.parse().expect("an address");
            }
            // It answers before it has said everything.
            assert!(Instant::now() < end, "no address in {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything it said.
    pub(crate) fn log(&self) -> String {
        ["log", "err"].map(|name| fs::read_to_string(self.dir.join(name)).unwrap_or_default()).concat()
    }

    fn wait_until_up(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                panic!("the server ended with {status}:\n{}", self.log());
            }
            if self.ask(&|me| options(me)).is_some() {
                return;
            }
            // A refused datagram fails at once; do not spin while the server starts.
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server does not answer:\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        client::stop(&mut self.child);
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", self.log());
        }
        // What cannot be removed is left in the target folder.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// An account each, with the same password, for phones that know MD5 only; and more of the file.
#[allow(dead_code)] // Every test binary uses its own part.
pub(crate) fn accounts(users: &[&str], more: &str) -> String {
    let account = |user: &&str| format!("[[account]]\nusername = \"{user}\"\npassword = \"wonderland\"\n");
    let digest = "[auth.digest]\nalgorithms = [\"MD5\"]\n";
    users.iter().map(account).collect::<String>() + digest + more
}

/// A port that is free for UDP and for TCP.
pub(crate) fn free() -> SocketAddr {
    let found = (0..100).find_map(|_| {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let addr = tcp.local_addr().ok()?;
        UdpSocket::bind(addr).ok().map(|_| addr)
    });
    found.expect("a free port")
}

fn options(me: SocketAddr) -> String {
    format!(
        "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKup{0};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:probe@example.com>;tag=1\r\nTo: <sip:example.com>\r\nCall-ID: up{0}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n",
        me.port()
    )
}
