//! The client side on each runtime: two peers, and a server between them.

use std::error::Error;

use strowger_core::door::Transport;
use strowger_mio::Mio;
use strowger_shell::builder::SimpleB2bua;
use strowger_shell::peer::SimplePeer;
use strowger_shell::promise::Wait;
use strowger_shell::server::Runtime;
use strowger_smol::Smol;
use strowger_tokio::Tokio;

use crate::servers::PASSWORD;

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

async fn write_and_call<R: Runtime>() -> Result<(), Box<dyn Error>> {
    let lobby = SimpleB2bua::<R>::new("Lobby", 0).account("alice", PASSWORD).account("bob", PASSWORD);
    let lobby = lobby.enable_registration().enable_calls().enable_messages().bind().await?;
    for transport in [Transport::Udp, Transport::Tcp] {
        // Where the port is not free for both, they have two.
        let listener = lobby.listeners().iter().find(|one| one.transport == transport && one.addr.is_ipv4());
        let port = listener.ok_or("no listener")?.addr.port();
        let server = format!("127.0.0.1:{port};transport={}", transport.uri_param());
        let start = |aor| SimplePeer::<R>::new(aor).password(PASSWORD).server(&server).start();
        let (alice, _) = start("alice@localhost").await?;
        let (bob, mut events) = start("bob@localhost").await?;
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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(write_and_call::<Tokio>()).expect("on tokio");
    strowger_smol::block_on(write_and_call::<Smol>()).expect("on smol");
    write_and_call::<Mio>().wait().expect("on mio");
}
