use std::net::UdpSocket as StdSocket;
use std::time::Duration;

use strowger_core::config::ListenerConfig;
use strowger_core::door::Transport;

use super::*;
use crate::options::Options;
use crate::socket::Sockets;

/// Nobody watches it: who waits, blocks.
struct Unwatched(UdpSocket);

impl Watch for Unwatched {
    fn socket(&self) -> &UdpSocket {
        &self.0
    }

    fn receive<T>(&self, receive: impl FnOnce(&UdpSocket) -> io::Result<T>) -> io::Result<T> {
        receive(&self.0)
    }

    fn watch_room(&mut self) {}

    fn forget_room(&mut self) {}
}

fn port(addr: &str) -> UdpPort<Unwatched> {
    let addr = addr.parse().expect("an address");
    let wanted = ListenerConfig { transport: Transport::Udp, addr, advertised: None, algorithms: None };
    let mut sockets = Sockets::bind(vec![wanted], &Options::default()).expect("bound");
    UdpPort::new(FlowId(2), sockets.udp.remove(0), 1 << 20, |socket| Ok(Unwatched(socket)))
        .expect("registered")
}

fn client(addr: &str) -> StdSocket {
    let client = StdSocket::bind(addr).expect("client");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
    client
}

/// Waits until `wanted` datagrams came, receiving batch by batch.
fn collect(port: &UdpPort<Unwatched>, wanted: usize) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
    let mut buffer = ReceiveBuffer::new();
    let mut seen = Vec::new();
    while seen.len() < wanted {
        port.socket.0.set_nonblocking(false).expect("blocking");
        let _ = port.socket.0.peek_from(&mut [0]);
        port.socket.0.set_nonblocking(true).expect("not blocking");
        while port.receive(&mut buffer, |remote, local, data| seen.push((remote, local, data.to_vec()))) > 0 {
        }
    }
    seen
}

#[test]
fn a_burst_is_received_whole_and_in_order() {
    let port = port("127.0.0.1:0");
    let client = client("127.0.0.1:0");
    for i in 0..200u32 {
        client.send_to(&i.to_be_bytes(), port.local).expect("sent");
    }
    let seen = collect(&port, 200);
    let numbers: Vec<u32> =
        seen.iter().map(|(_, _, data)| u32::from_be_bytes(data[..].try_into().expect("4 bytes"))).collect();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    assert!(
        seen.iter()
            .all(|(remote, local, _)| *remote == client.local_addr().expect("bound") && *local == port.local)
    );
}

#[test]
fn a_wildcard_socket_answers_from_the_address_asked() {
    let mut port = port("0.0.0.0:0");
    let client = client("127.0.0.1:0");
    let asked = SocketAddr::from(([127, 0, 0, 7], port.local.port()));
    client.send_to(b"ask", asked).expect("sent");
    let (remote, local, _) = collect(&port, 1).remove(0);
    assert_eq!(local, asked);
    port.send(remote, local, Bytes::from_static(b"answer"), &mut SocketStats::default()).expect("sent");
    let mut buf = [0; 16];
    let (len, from) = client.recv_from(&mut buf).expect("answer");
    assert_eq!((&buf[..len], from), (&b"answer"[..], asked));
}

#[test]
fn large_datagrams_pass_both_ways() {
    for addr in ["127.0.0.1:0", "0.0.0.0:0"] {
        let mut port = port(addr);
        let client = client("127.0.0.1:0");
        let large = vec![b'x'; 65_507];
        client.send_to(&large, SocketAddr::from(([127, 0, 0, 1], port.local.port()))).expect("sent");
        let (remote, local, data) = collect(&port, 1).remove(0);
        assert_eq!(data.len(), large.len());
        port.send(remote, local, Bytes::from(data), &mut SocketStats::default()).expect("sent");
        let mut buf = vec![0; 70_000];
        assert_eq!(client.recv_from(&mut buf).expect("answer").0, large.len());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn large_datagrams_are_fragmented_and_not_dropped() {
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu_discover, ipv6_mtu_discover,
    };
    assert_eq!(
        ip_mtu_discover(port("127.0.0.1:0").socket.socket()).expect("option"),
        Ipv4PathMtuDiscovery::DONT
    );
    if StdSocket::bind("[::1]:0").is_ok() {
        let port = port("[::1]:0");
        assert_eq!(ipv6_mtu_discover(port.socket.socket()).expect("option"), Ipv6PathMtuDiscovery::DONT);
        let dont =
            nix::sys::socket::getsockopt(port.socket.socket(), nix::sys::socket::sockopt::Ipv6DontFrag);
        assert_eq!(dont, Ok(false));
    }
}

#[test]
fn a_datagram_too_large_for_udp_is_an_error_with_its_reason() {
    let mut port = port("127.0.0.1:0");
    let mut stats = SocketStats::default();
    let sent = port.send(port.local, port.local, Bytes::from(vec![0; 65_600]), &mut stats);
    assert_eq!((sent, stats.send_errors), (Err(SendError::TooBig), 1));
}
