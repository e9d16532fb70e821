//! baresip, headless: a folder and a control port of its own for each, driven as its user would.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::client;
use super::launch::Server;

pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// What one of them is told to be.
pub(crate) struct Setup<'s> {
    pub(crate) user: &'s str,
    pub(crate) password: &'s str,
    /// `udp`, `tcp` or `tls`.
    pub(crate) transport: &'s str,
    /// Further parameters of the account, each with its semicolon.
    pub(crate) account: &'s str,
    /// Further lines of the configuration.
    pub(crate) config: &'s str,
    /// The list of contacts.
    pub(crate) contacts: &'s str,
}

/// A running one; it ends with its value.
pub(crate) struct Baresip {
    child: Child,
    dir: PathBuf,
    control: TcpStream,
}

impl Baresip {
    /// Starts one with one account.
    pub(crate) fn start(server: &Server, setup: &Setup<'_>) -> Baresip {
        let Setup { user, password, transport, account, config, contacts } = setup;
        let dir = server.dir().join(format!("baresip-{user}"));
        fs::create_dir_all(&dir).expect("a folder for the client");
        let control =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a free port");
        let config = format!(
            "module_path {}\nsip_listen 127.0.0.1:0\nnet_interface 127.0.0.1\nctrl_tcp_listen {control}\n\
             module g711.so\nmodule_app account.so\nmodule_app ctrl_tcp.so\nmodule_app menu.so\n\
             sip_cafile {}\n{config}",
            modules().display(),
            server.dir().join("cert.pem").display(),
        );
        let account = format!(
            "<sip:{user}@example.com>;auth_pass={password};outbound=\"sip:{};transport={transport}\";regint=600{account}\n",
            if *transport == "tls" { server.tls } else { server.addr },
        );
        for (file, text) in [("config", &config[..]), ("accounts", &account), ("contacts", contacts)] {
            fs::write(dir.join(file), text).expect("a file for the client");
        }
        // One file, so that neither channel writes over the other.
        let log = File::create(dir.join("log")).expect("a file for the log");
        let mut child = Command::new("baresip")
            .arg("-f")
            .arg(&dir)
            // Nothing is ever written to it, but the module of a terminal wants one that can be waited for.
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("baresip starts");
        let end = Instant::now() + LIMIT;
        let control = loop {
            match TcpStream::connect(control) {
                Ok(stream) => break stream,
                Err(e) if Instant::now() > end => {
                    client::stop(&mut child);
                    panic!("baresip has no control port: {e}");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        control.set_read_timeout(Some(Duration::from_millis(200))).expect("a time");
        Baresip { child, dir, control }
    }

    /// Gives a command and reads what comes within a moment: the reply, and events before it.
    pub(crate) fn command(&mut self, name: &str) -> String {
        self.say(&format!("{{\"command\":\"{name}\"}}"))
    }

    /// The same for a command with a parameter.
    pub(crate) fn tell(&mut self, name: &str, param: &str) -> String {
        self.say(&format!("{{\"command\":\"{name}\",\"params\":\"{param}\"}}"))
    }

    fn say(&mut self, json: &str) -> String {
        // A netstring.
        write!(self.control, "{}:{json},", json.len()).expect("baresip listens");
        let mut said = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.control.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => said.extend_from_slice(buffer.get(..len).unwrap_or_default()),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(e) => panic!("the control port of baresip: {e}"),
            }
        }
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Whether it registers; the answer comes as an event or is seen in its state.
    pub(crate) fn registers(&mut self) -> bool {
        let end = Instant::now() + LIMIT;
        let mut all = String::new();
        while Instant::now() < end {
            let said = self.command("reginfo");
            // In colour: an escape sequence ends right before the word, which may be padded.
            let state = |word: &str| said.contains(&format!("m{word}"));
            if said.contains("REGISTER_OK") || state("OK") {
                return true;
            }
            if said.contains("REGISTER_FAIL") || state("ERR") {
                return false;
            }
            all.push_str(&said);
        }
        panic!("baresip says neither that it registered nor that it failed:\n{all}");
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Ends it as its user would.
    pub(crate) fn quit(mut self) -> String {
        let json = "{\"command\":\"quit\"}";
        write!(self.control, "{}:{json},", json.len()).expect("baresip listens");
        let end = Instant::now() + LIMIT;
        while self.child.try_wait().expect("a child of ours").is_none() {
            assert!(Instant::now() < end, "baresip does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.log()
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        client::stop(&mut self.child);
    }
}

/// Debian keeps them in a folder of its own, other builds beside their libraries.
fn modules() -> PathBuf {
    let places = ["/usr/lib/baresip/modules", "/usr/lib64/baresip/modules", "/usr/local/lib/baresip/modules"];
    let found = places.iter().map(Path::new).find(|dir| dir.join("account.so").is_file());
    found.expect("the modules of baresip").to_path_buf()
}
