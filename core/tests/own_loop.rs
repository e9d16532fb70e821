//! The example of a loop without any runtime runs: a phone is challenged by it, and a stranger is told off.

#[path = "../examples/own_loop.rs"]
#[allow(dead_code)] // Its main is not called.
mod own_loop;

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

#[test]
fn a_loop_of_ones_own_answers_phones() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let server = socket.local_addr().expect("bound");
    let own = socket.try_clone().expect("a second descriptor");
    // It ends with the test.
    let running = thread::Builder::new().spawn(move || own_loop::serve(&own, |_| true)).expect("a thread");
    let phone = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    phone.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let local = phone.local_addr().expect("bound");
    let ask = |method: &str, cseq: u32| {
        let request = format!(
            "{method} sip:localhost SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@localhost>;tag=f\r\nTo: <sip:alice@localhost>\r\n\
             Call-ID: own\r\nCSeq: {cseq} {method}\r\nContact: <sip:alice@{local}>\r\nContent-Length: 0\r\n\r\n"
        );
        phone.send_to(request.as_bytes(), server).expect("sent");
        let mut buffer = vec![0; 4096];
        let (length, _) = phone.recv_from(&mut buffer).expect("an answer");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert!(ask("OPTIONS", 1).starts_with("SIP/2.0 200 "));
    let challenge = ask("REGISTER", 2);
    assert!(
        challenge.starts_with("SIP/2.0 401 ") && challenge.contains("WWW-Authenticate: Digest"),
        "{challenge}"
    );
    assert!(!running.is_finished());
}
