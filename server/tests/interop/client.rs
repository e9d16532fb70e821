//! Programs under test: whether they are there, and running them to their end.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// True if a client is installed. Says that the test is skipped if not, or fails where clients are required.
pub(crate) fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|dir| dir.join(program).is_file()) {
        return true;
    }
    let required = std::env::var_os("STROWGER_REQUIRE_CLIENTS").is_some_and(|value| value == "1");
    assert!(!required, "{program} is not installed, and STROWGER_REQUIRE_CLIENTS=1 asks for it");
    eprintln!("skipped: {program} is not installed");
    false
}

/// Runs a program to its end; one that takes too long is killed and fails the test with what it said.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{program} does not start: {e}"));
    let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break status;
        }
        if Instant::now() > end {
            stop(&mut child);
            let said = [out.join().unwrap_or_default(), err.join().unwrap_or_default()].concat();
            panic!("{program} did not end within {limit:?}:\n{}", String::from_utf8_lossy(&said));
        }
        thread::sleep(Duration::from_millis(10));
    };
    Output { status, stdout: out.join().unwrap_or_default(), stderr: err.join().unwrap_or_default() }
}

/// What a program said on both channels.
pub(crate) fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// Speaks TLS for a client that does not: what connects to `addr` in clear goes to the server over TLS, whose certificate
/// for localhost is checked. Ends with its value.
#[allow(dead_code)] // Every test binary uses its own part.
pub(crate) struct Tunnel {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Tunnel {
    #[allow(dead_code)] // Every test binary uses its own part.
    pub(crate) fn open(dir: &Path, addr: SocketAddr, server: SocketAddr) -> Tunnel {
        let file = dir.join("stunnel.conf");
        let certificate = dir.join("cert.pem");
        let text = format!(
            "foreground = yes\npid =\n[sip]\nclient = yes\naccept = {addr}\nconnect = {server}\n\
             CAfile = {}\nverifyChain = yes\ncheckHost = localhost\nsslVersionMin = TLSv1.2\n",
            certificate.display()
        );
        fs::write(&file, text).expect("a file for the test");
        let mut command = Command::new("stunnel");
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let tunnel = Tunnel { child: command.spawn().expect("stunnel starts"), addr };
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(addr).is_err() {
            assert!(Instant::now() < end, "stunnel does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        tunnel
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

pub(crate) fn stop(child: &mut Child) {
    // It may have ended by itself; either way it is gone afterwards.
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads on, so that the program never waits for somebody to read it.
fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    let read = move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is all there is to show.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    };
    thread::Builder::new().name("reader".into()).spawn(read).expect("a thread")
}
