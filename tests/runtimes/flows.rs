//! The client side over TLS and WebSocket, on every runtime: two peers register at a server, which finds them by their
//! connections alone; they write and call.

use std::path::Path;

use strowger_core::config::{CallsConfig, MessagesConfig};
use strowger_core::door::Transport;
use strowger_shell::peer::{PeerError, SimplePeer};
use strowger_shell::promise::Wait;
use strowger_shell::server::Runtime as Runs;

use crate::handshakes::Open;
use crate::servers::{PASSWORD, Runtime};

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// Over `transport`, the peers on one runtime and the server on its own.
async fn live<R: Runs>(server: &Open, transport: Transport, authority: &Path) -> Result<(), PeerError> {
    let port = server.addr(transport).port();
    let uri = format!("sip:localhost:{port};transport={}", transport.name());
    let peer = |user: &str| {
        let peer = SimplePeer::<R>::new(format!("sip:{user}@example.com")).password(PASSWORD).server(&uri);
        peer.authorities(authority)
    };
    let (alice, _) = peer("alice").start().await?;
    let (bob, mut events) = peer("bob").start().await?;
    alice.register().await?;
    bob.register().await?;
    let bindings = server.handle.lookup("bob@example.com").await.expect("a reply");
    let [binding] = &bindings[..] else { panic!("{bindings:?}") };
    assert_eq!(binding.transport, transport);
    if transport.is_web() {
        // RFC 7118 s5, RFC 5626: nowhere but at the end of its flow.
        assert!(binding.contact.ends_with("@ws.invalid;transport=ws"), "{}", binding.contact);
        assert!(binding.instance.starts_with("urn:uuid:") && binding.reg_id == Some(1), "{binding:?}");
    }
    assert!(alice.message("bob@example.com", "hello").await?);
    let mut outgoing = alice.call("bob@example.com", SDP).await?;
    let mut incoming = events.next_call().await.expect("a call");
    incoming.answer(SDP).await?;
    outgoing.answered().await?;
    incoming.answered().await?;
    incoming.hang_up().await?;
    assert_eq!(outgoing.ended().await, 200);
    // Who believes nobody in particular does not come to speak.
    if transport.is_secure() {
        let doubtful = SimplePeer::<R>::new("sip:alice@example.com").password(PASSWORD).server(&uri);
        let (doubtful, _) = doubtful.start().await?;
        assert!(matches!(doubtful.register().await, Err(PeerError::Answered(503))));
        doubtful.close().await?;
    }
    alice.close().await?;
    bob.close().await?;
    assert!(server.handle.lookup("bob@example.com").await.expect("a reply").is_empty());
    Ok(())
}

fn all<R: Runs>(runtime: Runtime) {
    let server = Open::with(
        runtime,
        |_| {},
        |config| {
            crate::servers::accounts(config, &["alice", "bob"]);
            config.policies = Default::default();
            config.calls = Some(CallsConfig::default());
            config.messages = Some(MessagesConfig::default());
        },
    );
    let authority = server.certificate.authority();
    for transport in [Transport::Tls, Transport::Ws, Transport::Wss] {
        let lived = live::<R>(&server, transport, &authority).wait();
        lived.unwrap_or_else(|fault| panic!("{runtime:?} {transport:?}: {fault}"));
    }
    server.end();
}

#[test]
fn peers_on_tokio_are_at_home_over_tls_ws_and_wss() {
    let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let own = own.expect("a runtime");
    let _entered = own.enter();
    all::<strowger_tokio::Tokio>(Runtime::Tokio);
}

#[test]
fn peers_on_smol_are_at_home_over_tls_ws_and_wss() {
    all::<strowger_smol::Smol>(Runtime::Smol);
}

#[test]
fn peers_on_mio_are_at_home_over_tls_ws_and_wss() {
    all::<strowger_mio::Mio>(Runtime::Mio);
}
