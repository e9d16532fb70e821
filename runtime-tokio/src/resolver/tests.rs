//! The resolver over loopback sockets, with a name server of the test.

use std::sync::OnceLock;

use strowger_core::door::Ticket;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;

use super::*;

static SERVER: OnceLock<SocketAddr> = OnceLock::new();

fn config() -> StubConfig {
    StubConfig { servers: SERVER.get().copied().into_iter().collect(), ..StubConfig::default() }
}

/// Says that `big.example.com` does not fit into a datagram, and that every name is at 127.0.0.9.
fn respond(query: &[u8], stream: bool) -> Vec<u8> {
    let mut answer = query.to_vec();
    (answer[2], answer[3]) = (0x81, 0x80);
    let is_address = query[query.len() - 3] == 1;
    if query.windows(4).any(|name| name == b"\x03big") && !stream {
        answer[2] |= 0x02;
    } else if is_address {
        answer[7] = 1;
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 9]);
    }
    answer
}

async fn name_server() {
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let addr = tcp.local_addr().expect("an address");
    let udp = UdpSocket::bind(addr).await.expect("the same port");
    SERVER.set(addr).expect("one server");
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = udp.recv_from(&mut buffer).await.expect("a query");
            // What is forged is passed over.
            udp.send_to(b"forged", from).await.expect("sent");
            udp.send_to(&respond(&buffer[..length], false), from).await.expect("sent");
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.expect("a connection");
            let mut query = vec![0; stream.read_u16().await.expect("a length").into()];
            stream.read_exact(&mut query).await.expect("a query");
            let answer = respond(&query, true);
            stream.write_u16(answer.len() as u16).await.expect("written");
            stream.write_all(&answer).await.expect("written");
        }
    });
}

fn listener(transport: Transport, addr: &str) -> ListenerConfig {
    ListenerConfig { transport, addr: addr.parse().expect("an address"), advertised: None, algorithms: None }
}

#[tokio::test]
async fn names_are_found_and_our_side_of_the_way_is_named() {
    name_server().await;
    let (inbox, mut answers) = mpsc::channel(8);
    let listeners = [
        listener(Transport::Tcp, "[::1]:5070"),
        listener(Transport::Udp, "0.0.0.0:5070"),
        listener(Transport::Tcp, "127.0.0.1:5071"),
    ];
    let resolver = Resolver { clock: Clock::start(), listeners: listeners.into(), inbox, config };
    let line = resolver.start(&Handle::current());
    let mut ask = async |host: &str, port, transport| {
        let near = ([127, 0, 0, 1], 5070).into();
        let query = ResolveQuery {
            ticket: Ticket::new(3, 1),
            host: host.into(),
            port,
            transport,
            secure: false,
            near,
        };
        assert!(line.ask(query).is_none());
        match answers.recv().await {
            Some(Inbound::Answer(Answer::Resolved(ticket, ways))) if ticket == Ticket::new(3, 1) => ways,
            other => panic!("{other:?}"),
        }
    };
    let way = |transport, remote: &str, listener, local: &str| Resolved {
        transport,
        remote: remote.parse().expect("an address"),
        listener,
        local: local.parse().expect("an address"),
        server_name: None,
    };
    // Under a wildcard it is the address that packets leave from, whatever that is towards there.
    let source = source_towards("127.0.0.9:1".parse().expect("an address")).expect("loopback");
    let udp = vec![way(Transport::Udp, "127.0.0.9:5080", 1, &format!("{source}:5070"))];
    assert_eq!(ask("sip.example.com", Some(5080), None).await, udp);
    let tcp = vec![way(Transport::Tcp, "127.0.0.9:5060", 2, "127.0.0.1:5071")];
    assert_eq!(ask("big.example.com", None, Some(Transport::Tcp)).await, tcp);
    // We do not call ourselves, and there is no TLS yet.
    assert_eq!(ask("127.0.0.1", Some(5070), None).await, []);
    assert_eq!(ask("sip.example.com", Some(5061), Some(Transport::Tls)).await, []);
}
