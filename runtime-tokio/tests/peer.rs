//! The client side over sockets: peers, and a server between them.

use strowger_tokio::core::door::{PresenceState, Transport, UaCallStep, UaStep};
use strowger_tokio::{Peer, PeerError, PeerEvent, PeerEvents, Server, SimpleB2bua, SimplePeer};

const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
const HOLD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\n";
const ANSWER: &str =
    "v=0\r\no=- 2 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4002 RTP/AVP 0\r\n";

async fn lobby() -> Server {
    let lobby = SimpleB2bua::new("Lobby", 0)
        .account("alice", "a long secret")
        .account("bob", "another one")
        .account("carol", "a third one")
        .enable_registration()
        .enable_presence()
        .enable_messages()
        .enable_calls();
    lobby.bind().await.expect("a server")
}

async fn peer(lobby: &Server, user: &str, password: &str, transport: &str) -> (Peer, PeerEvents) {
    let wanted = if transport.is_empty() { Transport::Udp } else { Transport::Tcp };
    let listener = lobby.listeners().iter().find(|one| one.transport == wanted && one.addr.is_ipv4());
    let server = format!("127.0.0.1:{}{transport}", listener.expect("a listener").addr.port());
    let peer = SimplePeer::new(format!("{user}@localhost")).password(password).server(server);
    peer.start().await.expect("a peer")
}

async fn told(events: &mut PeerEvents, mut wanted: impl FnMut(&UaStep) -> bool) -> UaStep {
    loop {
        match events.next().await.expect("an event") {
            PeerEvent::Told(step) if wanted(&step) => return step,
            _ => {}
        }
    }
}

async fn end(lobby: Server, peers: impl IntoIterator<Item = Peer>) {
    for peer in peers {
        peer.close().await.expect("closed");
        assert!(matches!(peer.view().await, Err(PeerError::Closed)));
    }
    lobby.handle().shutdown().expect("running");
    lobby.stopped().await.expect("in order");
}

#[tokio::test]
async fn peers_register_see_each_other_and_write() {
    for transport in ["", ";transport=tcp"] {
        let lobby = lobby().await;
        let (alice, mut alice_hears) = peer(&lobby, "alice", "a long secret", transport).await;
        let (bob, mut bob_hears) = peer(&lobby, "bob", "another one", transport).await;
        alice.register().await.expect("registered");
        alice.register().await.expect("still");
        bob.register().await.expect("registered");
        assert!(alice.is_registered().await.expect("a view"));
        assert!(lobby.handle().is_registered("bob@localhost").await.expect("a look-up"));
        let watched = alice.subscribe_presence("bob@localhost").await.expect("a subscription");
        bob.publish_presence(PresenceState::Away, "at lunch").await.expect("published");
        let seen = told(
            &mut alice_hears,
            |step| matches!(step, UaStep::Presence { id, presence } if *id == watched && presence.state == PresenceState::Away),
        );
        let UaStep::Presence { presence, .. } = seen.await else { panic!("presence") };
        assert_eq!(presence.note.as_deref(), Some("at lunch"));
        bob.withdraw_presence().await.expect("withdrawn");
        assert!(bob.message("alice@localhost", "back soon").await.expect("sent"));
        let heard = told(&mut alice_hears, |step| matches!(step, UaStep::Message { .. })).await;
        let UaStep::Message { from, body, .. } = heard else { panic!("a message") };
        assert_eq!((&*from, &*body), ("sip:bob@localhost", &b"back soon"[..]));
        assert!(!bob.message("carol@localhost", "for later").await.expect("kept"));
        alice.unsubscribe_presence(watched).await.expect("known");
        assert!(matches!(alice.unsubscribe_presence(999).await, Err(PeerError::Refused(_))));
        bob.unregister().await.expect("gone");
        assert!(!lobby.handle().is_registered("bob@localhost").await.expect("a look-up"));
        drop(bob_hears.next().await);
        end(lobby, [alice, bob]).await;
    }
}

#[tokio::test]
async fn peers_call_hold_and_pass_on() {
    let lobby = lobby().await;
    let (alice, _) = peer(&lobby, "alice", "a long secret", ";transport=tcp").await;
    let (bob, mut bob_hears) = peer(&lobby, "bob", "another one", "").await;
    let (carol, mut carol_hears) = peer(&lobby, "carol", "a third one", "").await;
    bob.register().await.expect("registered");
    carol.register().await.expect("registered");
    let mut out = alice.call("bob@localhost", OFFER).await.expect("a call");
    let mut came = bob_hears.next_call().await.expect("a call");
    came.answer(ANSWER).await.expect("there");
    assert_eq!(&*out.answered().await.expect("answered"), ANSWER.as_bytes());
    out.digit('7').await.expect("sent");
    let digit = loop {
        if let UaCallStep::Digit { digit, .. } = came.next().await.expect("a step") {
            break digit;
        }
    };
    assert_eq!(digit, '7');
    out.change(HOLD).await.expect("offered");
    assert!(matches!(out.next().await, Some(UaCallStep::Changed { .. })));
    assert!(String::from_utf8_lossy(out.sdp()).contains("a=recvonly"));
    out.transfer("carol@localhost").await.expect("asked");
    let mut third = carol_hears.next_call().await.expect("a call");
    third.answer(ANSWER).await.expect("there");
    let done = loop {
        match out.next().await {
            Some(UaCallStep::Transfer { status: 200..=299 }) => break true,
            Some(_) => {}
            None => break false,
        }
    };
    assert!(done);
    drop(out);
    third.hang_up().await.expect("there");
    assert_eq!((third.ended().await, came.ended().await), (200, 200));
    // Refused, and to somebody who does not listen.
    let mut out = bob.call("carol@localhost", OFFER).await.expect("a call");
    carol_hears.next_call().await.expect("a call").reject(486).await.expect("there");
    assert!(matches!(out.answered().await, Err(PeerError::Answered(486))));
    drop(carol_hears);
    let mut out = bob.call("carol@localhost", OFFER).await.expect("a call");
    assert!(matches!(out.answered().await, Err(PeerError::Answered(480))));
    end(lobby, [alice, bob, carol]).await;
}

#[tokio::test]
async fn two_peers_need_no_server() {
    let (alice, _) = SimplePeer::new("alice@localhost").start().await.expect("a peer");
    let (bob, mut events) = SimplePeer::new("bob@localhost").direct().start().await.expect("a peer");
    let port = bob.listeners()[0].addr.port();
    let (carol, _) =
        SimplePeer::new("carol@localhost").server(format!("127.0.0.1:{port}")).start().await.expect("a peer");
    let mut out = carol.call(format!("bob@127.0.0.1:{port}"), OFFER).await.expect("a call");
    let mut came = events.next_call().await.expect("a call");
    assert_eq!(came.other(), "sip:carol@localhost");
    came.answer(ANSWER).await.expect("there");
    assert_eq!(&*out.answered().await.expect("answered"), ANSWER.as_bytes());
    came.hang_up().await.expect("there");
    assert_eq!((out.ended().await, came.ended().await), (200, 200));
    // Of another name there is nobody.
    let nobody = carol.call(format!("dave@127.0.0.1:{port}"), OFFER).await.expect("a call").answered().await;
    assert!(matches!(nobody, Err(PeerError::Answered(400..=499))));
    for peer in [alice, bob, carol] {
        peer.close().await.expect("closed");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_said() {
    let lobby = lobby().await;
    let (mallory, _) = peer(&lobby, "alice", "a guess", "").await;
    assert!(matches!(mallory.register().await, Err(PeerError::Answered(401))));
    let nobody = mallory.call("sip:bob@localhost", OFFER).await.expect("a call").answered().await;
    assert!(matches!(nobody, Err(PeerError::Answered(401))));
    assert!(matches!(mallory.message("sip:bob@localhost", "hello").await, Err(PeerError::Answered(401))));
    assert!(matches!(mallory.call("sip:>", OFFER).await, Err(PeerError::Refused(_))));
    let (lost, _) = SimplePeer::new("alice@nowhere.invalid")
        .password("x")
        .server("127.0.0.1:9;transport=tcp")
        .start()
        .await
        .expect("a peer");
    assert!(matches!(lost.register().await, Err(PeerError::Answered(503))));
    end(lobby, [mallory, lost]).await;
}
