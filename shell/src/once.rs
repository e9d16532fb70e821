//! A web server of one answer, for tests of what asks by HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

/// A place on loopback that nobody is to visit.
pub(crate) struct Forbidden(TcpListener);

impl Forbidden {
    pub(crate) fn new() -> Forbidden {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind loopback");
        listener.set_nonblocking(true).expect("set");
        Forbidden(listener)
    }

    /// An answer that sends whoever asked there.
    pub(crate) fn redirect(&self, status: &str) -> String {
        let addr = self.0.local_addr().expect("bound");
        format!(
            "HTTP/1.1 {status}\r\nLocation: http://{addr}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    }

    pub(crate) fn was_visited(&self) -> bool {
        self.0.accept().is_ok()
    }
}

/// A server on loopback that gives one answer and tells what it was asked: head and body.
pub(crate) fn serve_once(response: String) -> (SocketAddr, thread::JoinHandle<(String, String)>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind loopback");
    let addr = listener.local_addr().expect("bound");
    let server = thread::Builder::new().spawn(move || {
        let (stream, _) = listener.accept().expect("accept");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).expect("request head");
        }
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
        reader.read_exact(&mut body).expect("request body");
        let _ = reader.get_mut().write_all(response.as_bytes());
        (head, String::from_utf8(body).expect("ASCII"))
    });
    (addr, server.expect("thread"))
}
