//! The client side on smol: two peers, and a server between them.

use strowger_smol::{SimpleB2bua, SimplePeer};

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

async fn scenario() -> Result<(), Box<dyn std::error::Error>> {
    let lobby = SimpleB2bua::new("Lobby", 0).account("alice", "a long secret").account("bob", "another one");
    let lobby = lobby.enable_registration().enable_calls().enable_messages().bind().await?;
    let port = lobby.listeners()[0].addr.port();
    for transport in ["", ";transport=tcp"] {
        let server = format!("127.0.0.1:{port}{transport}");
        let alice = SimplePeer::new("alice@localhost").password("a long secret").server(&server);
        let (alice, _) = alice.start().await?;
        let (bob, mut events) =
            SimplePeer::new("bob@localhost").password("another one").server(&server).start().await?;
        bob.register().await?;
        assert!(alice.message("bob@localhost", "hello").await?);
        let mut outgoing = alice.call("bob@localhost", SDP).await?;
        let mut incoming = events.next_call().await.ok_or("no call")?;
        incoming.answer(SDP).await?;
        outgoing.answered().await?;
        incoming.answered().await?;
        outgoing.hang_up().await?;
        assert_eq!(incoming.ended().await, 200);
        alice.close().await?;
        bob.close().await?;
    }
    lobby.handle().shutdown()?;
    Ok(lobby.stopped().await?)
}

#[test]
fn two_peers_write_and_call() {
    strowger_smol::block_on(scenario()).expect("nothing goes wrong");
}
