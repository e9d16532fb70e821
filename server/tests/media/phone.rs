//! A plain phone with sound, by hand: one socket for SIP and one for RTP.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::common::{self, header, until};

/// A phone of one socket for SIP and one for sound.
pub(crate) struct Phone {
    pub(crate) sip: UdpSocket,
    pub(crate) sound: UdpSocket,
    pub(crate) server: SocketAddr,
}

impl Phone {
    pub(crate) fn new(server: SocketAddr) -> Phone {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.set_read_timeout(Some(Duration::from_millis(500))).expect("set");
            socket
        };
        Phone { sip: socket(), sound: socket(), server }
    }

    pub(crate) fn at(&self) -> SocketAddr {
        self.sip.local_addr().expect("bound")
    }

    pub(crate) fn send(&self, message: &str) {
        self.sip.send_to(message.as_bytes(), self.server).expect("sent");
    }

    /// What has come, if anything.
    #[allow(dead_code)] // Not every file of tests uses it.
    pub(crate) fn received(&self) -> String {
        self.sip.set_nonblocking(true).expect("set");
        let message = self.next();
        self.sip.set_nonblocking(false).expect("set");
        message
    }

    fn next(&self) -> String {
        let mut buffer = [0; 65_536];
        self.sip.recv(&mut buffer).map(|len| common::text(&buffer[..len])).unwrap_or_default()
    }

    /// The next message that begins so.
    pub(crate) fn receive(&self, beginning: &str) -> String {
        let message = until(|| self.next(), |message| message.starts_with(beginning));
        assert!(message.starts_with(beginning), "no {beginning:?} came");
        message
    }

    /// Sound is wanted at this address.
    pub(crate) fn sdp(&self, host: &str) -> String {
        let port = self.sound.local_addr().expect("bound").port();
        format!(
            "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
        )
    }

    /// A request, with what makes it this one.
    pub(crate) fn request(&self, method: &str, uri: &str, cseq: u32, lines: &str, body: &str) -> String {
        let at = self.at();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{method}{cseq}x{};rport\r\nMax-Forwards: 70\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:x@{at}>\r\n{lines}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            at.port(),
            body.len()
        )
    }

    /// 200 to a request.
    pub(crate) fn accept(&self, request: &str, body: &str) {
        let mut answer = String::from("SIP/2.0 200 OK\r\n");
        for line in request.lines().take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default();
            if ["Via", "From", "Call-ID", "CSeq", "Record-Route"].contains(&name) {
                answer += &format!("{line}\r\n");
            }
        }
        let to = header(request, "To").expect("a To");
        let tag = if to.contains(";tag=") { "" } else { ";tag=callee" };
        let at = self.at();
        self.send(&format!(
            "{answer}To: {to}{tag}\r\nContact: <sip:bob@{at}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }

    /// The next packet of sound, if there is one.
    pub(crate) fn hears(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = [0; 2048];
        self.sound.recv_from(&mut buffer).ok().map(|(len, from)| (buffer[..len].to_vec(), from))
    }
}

/// Where a description wants the sound.
pub(crate) fn wanted(message: &str) -> SocketAddr {
    let host = message.split("c=IN IP4 ").nth(1).and_then(|rest| rest.lines().next()).expect("an address");
    let port = message.split("m=audio ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a port");
    format!("{host}:{port}").parse().expect("an address")
}

/// A packet of G.711, its bytes as this number makes them.
pub(crate) fn packet(number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let mut packet = vec![0x80, 0, high, low];
    packet.extend((u32::from(number) * 160).to_be_bytes());
    packet.extend([0, 0, 0, 7]);
    packet.extend((0..160).map(|i: u8| i.wrapping_mul(low)));
    packet
}
