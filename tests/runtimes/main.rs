//! One truth for all runtimes: each scenario is played over real sockets against a server on tokio, on smol and on mio, by
//! phones that are scripted in a file, over UDP, TCP, TLS, WS and WSS. What the phones hear, with minted names and ports
//! replaced by the order in which they appear, is one snapshot for the three.
//!
//! A scenario file has a line for the server, then what happens, in order:
//!
//! ```text
//! server accounts=alice,bob presence calls     # also: digest, bearer, messages, route
//! alice: REGISTER sip:example.com              # a request; indented lines are header fields, and the body after `|`
//!     Contact: <{me}>
//! alice < 200                                  # what she hears next
//! bob: 180 INVITE                              # an answer to what he heard last of this method
//! alice proves INVITE                          # again, with credentials for the challenge
//! server drains
//! server ends
//! ```
//!
//! A request without a URI is one within the dialog of the phone. Via, From, To, Call-ID, CSeq, Max-Forwards, Contact and
//! Content-Length are added.

mod connections;
mod five_lines;
mod flows;
mod handshakes;
mod normal;
mod peers;
mod phone;
mod play;
mod secure;
mod servers;
mod sound;
mod trees;
mod wire;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use servers::Runtime;
use strowger_core::door::Transport;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Plays a scenario everywhere.
fn everywhere(name: &str, scenario: &str) {
    for transport in Transport::ALL {
        let heard = Runtime::ALL.map(|runtime| play::play(runtime, (transport, LOOPBACK), scenario));
        let [tokio, smol, mio] = &heard;
        assert_alike(tokio, smol);
        assert_alike(tokio, mio);
        insta::assert_snapshot!(format!("{name}_{}", transport.name()), tokio);
    }
}

/// Shows where transcripts part.
fn assert_alike(one: &str, other: &str) {
    let parts = one.lines().zip(other.lines()).enumerate().find(|(_, (one, other))| one != other);
    assert!(parts.is_none() && one.lines().count() == other.lines().count(), "{parts:?}\nof\n{one}");
}

/// Over IPv6 phones hear what they hear over IPv4, but for the address: in brackets where it stands for a host.
#[test]
fn ipv6() {
    for scenario in [include_str!("../scenarios/register.txt"), include_str!("../scenarios/call.txt")] {
        for transport in [Transport::Udp, Transport::Tcp] {
            for runtime in Runtime::ALL {
                let [four, six] = [LOOPBACK, IpAddr::V6(Ipv6Addr::LOCALHOST)]
                    .map(|ip| play::play(runtime, (transport, ip), scenario));
                assert!(six.contains("@[::1]:") && six.contains("received=::1"), "{six}");
                assert_alike(
                    &four,
                    &six.replace("[::1]", "127.0.0.1").replace("received=::1", "received=127.0.0.1"),
                );
            }
        }
    }
}

macro_rules! scenarios {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            everywhere(stringify!($name), include_str!(concat!("../scenarios/", stringify!($name), ".txt")));
        }
    )*};
}

scenarios!(register digest bearer presence call transfer drain);
