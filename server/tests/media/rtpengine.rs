//! A real rtpengine for one test.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::client;
use super::common::{self, until};

/// A running rtpengine, on loopback and without the kernel's help.
pub(crate) struct Rtpengine {
    pub(crate) child: Child,
    pub(crate) at: SocketAddr,
}

impl Rtpengine {
    pub(crate) fn start() -> Rtpengine {
        let at = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
        let child = Command::new("rtpengine")
            .args([
                "--config-file=none",
                "--foreground",
                "--log-stderr",
                "--log-level=4",
                "--table=-1",
                "--interface=127.0.0.1",
            ])
            .args(["--port-min=42000", "--port-max=42999", "--delete-delay=0", "--num-threads=1"])
            .arg(format!("--listen-ng={at}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("rtpengine starts");
        let engine = Rtpengine { child, at };
        until(|| engine.ask("d7:command4:pinge"), |answer| answer.contains("pong"));
        engine
    }

    /// What it says to this.
    pub(crate) fn ask(&self, question: &str) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("set");
        let mut buffer = [0; 65_536];
        // What is asked by the same cookie is answered as it was before.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let cookie = COUNT.fetch_add(1, Ordering::Relaxed);
        let asked = socket.send_to(format!("test{cookie} {question}").as_bytes(), self.at);
        let answer = asked.and_then(|_| socket.recv(&mut buffer));
        answer.map(|len| common::text(&buffer[..len])).unwrap_or_default()
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        client::stop(&mut self.child);
    }
}
