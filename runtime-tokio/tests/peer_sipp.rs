//! The client side against a stock one: SIPp answers a peer, and calls one. Without SIPp it says so and passes;
//! `STROWGER_REQUIRE_CLIENTS=1` makes that a failure.

use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};

use strowger_tokio::SimplePeer;

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// Runs SIPp for one call; `None` if there is none.
fn sipp(args: &[&str]) -> Option<Child> {
    let common = ["-m", "1", "-i", "127.0.0.1", "-nostdin", "-timeout", "20s"];
    let child = Command::new("sipp")
        .args(args)
        .args(common)
        .current_dir(std::env::temp_dir())
        .env("TERM", "dumb")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match child {
        Ok(child) => Some(child),
        Err(_) => {
            let required = std::env::var_os("STROWGER_REQUIRE_CLIENTS").is_some_and(|value| value == "1");
            assert!(!required, "SIPp is not installed, and STROWGER_REQUIRE_CLIENTS=1 asks for it");
            eprintln!("skipped: SIPp is not installed");
            None
        }
    }
}

fn finished(mut child: Child) {
    assert!(child.wait().expect("it ends").success(), "SIPp is not content");
}

/// A port on loopback that is free now.
fn port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.local_addr().expect("bound").port()
}

#[tokio::test]
async fn sipp_answers_a_peer() {
    let at = port().to_string();
    let Some(callee) = sipp(&["-sn", "uas", "-p", &at]) else { return };
    let server = format!("127.0.0.1:{at}");
    let (alice, _) = SimplePeer::new("alice@localhost").server(&server).start().await.expect("a peer");
    // It takes a while until it listens; an INVITE is repeated.
    let mut call = alice.call(format!("service@{server}"), SDP).await.expect("a call");
    assert!(String::from_utf8_lossy(&call.answered().await.expect("answered")).contains("m=audio"));
    call.hang_up().await.expect("there");
    assert_eq!(call.ended().await, 200);
    // It waits for what may come behind the BYE.
    tokio::task::spawn_blocking(|| finished(callee)).await.expect("content");
    alice.close().await.expect("closed");
}

#[tokio::test]
async fn sipp_calls_a_peer() {
    let (bob, mut events) = SimplePeer::new("bob@localhost").direct().start().await.expect("a peer");
    let at = format!("127.0.0.1:{}", bob.listeners()[0].addr.port());
    let own = port().to_string();
    let Some(caller) = sipp(&["-sn", "uac", "-s", "bob", "-p", &own, "-d", "200", &at]) else { return };
    let mut call = events.next_call().await.expect("a call");
    call.ring().await.expect("there");
    call.answer(SDP).await.expect("there");
    call.answered().await.expect("acknowledged");
    assert_eq!(call.ended().await, 200);
    tokio::task::spawn_blocking(|| finished(caller)).await.expect("content");
    bob.close().await.expect("closed");
}
