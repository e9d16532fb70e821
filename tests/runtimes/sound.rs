//! Sound over the relay, which is beside every runtime in a thread of its own.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use strowger_core::config::{AuthPolicy, CallsConfig, Config, DomainConfig, ListenerConfig, MediaMode};
use strowger_core::door::Transport;
use strowger_shell::hooks::Hooks;
use strowger_shell::options::{MediaOptions, Options};
use strowger_shell::promise::Wait;
use strowger_shell::relay::RelayOptions;

use crate::phone::Phone;
use crate::servers::{Runtime, launch};
use crate::wire::Wire;

const PACKET: &[u8] = &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0xd5];

fn config() -> Config {
    let mut config = Config::new("example.com");
    config.domains = vec![DomainConfig { name: "example.com".into(), ..DomainConfig::default() }];
    let (transport, addr) = (Transport::Udp, SocketAddr::from(([127, 0, 0, 1], 0)));
    config.listeners = vec![ListenerConfig { transport, addr, advertised: None, algorithms: None }];
    (config.policies.register, config.policies.invite) = (AuthPolicy::Open, AuthPolicy::Open);
    config.registrar.get_or_insert_default();
    let mut calls = CallsConfig::default();
    calls.media.mode = MediaMode::Always;
    config.calls = Some(calls);
    config
}

/// Where somebody's sound is played.
fn sound() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    socket
}

fn sdp(sound: &UdpSocket) -> String {
    let port = sound.local_addr().expect("bound").port();
    format!(
        "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
    )
}

/// Where a description wants the sound.
fn wanted(message: &str) -> SocketAddr {
    let host = message.split("c=IN IP4 ").nth(1).and_then(|rest| rest.lines().next()).expect("an address");
    let port = message.split("m=audio ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a port");
    format!("{host}:{port}").parse().expect("an address")
}

#[test]
fn sound_goes_over_the_relay_of_every_runtime() {
    for (runtime, first) in Runtime::ALL.into_iter().zip([43_000, 43_100, 43_200]) {
        let mut relay = RelayOptions::new([127, 0, 0, 1].into());
        relay.ports = first..=first + 99;
        let options = Options { media: MediaOptions::Relay(relay), ..Options::default() };
        let ((handle, listeners), ended) = launch(runtime, config(), options, Hooks::default());
        let relayed = || handle.snapshot().wait().expect("a server").relay.expect("a relay");
        let [mut alice, mut bob] = ["alice", "bob"].map(|name| {
            let wire = Wire::open(Transport::Udp, listeners[0].addr, None).expect("a way there");
            Phone::new(name, Transport::Udp, wire)
        });
        let (hers, his) = (sound(), sound());
        let session = "Content-Type: application/sdp".to_owned();

        bob.request("REGISTER", Some("sip:example.com"), &[format!("Contact: <{}>", bob.me())], "");
        bob.hear();
        alice.request("INVITE", Some("sip:bob@example.com"), std::slice::from_ref(&session), &sdp(&hers));
        let for_him = wanted(&bob.hear());
        bob.answer("200", "INVITE", &[session], &sdp(&his));
        let ok = loop {
            let heard = alice.hear();
            if heard.starts_with("SIP/2.0 200") {
                break heard;
            }
        };
        let for_her = wanted(&ok);
        alice.request("ACK", None, &[], "");
        bob.hear();
        assert_eq!(relayed().ports, 4);

        // It is known where he is before she speaks: nothing is sent to who has sent nothing.
        his.send_to(PACKET, for_him).expect("sent");
        while relayed().early == 0 {
            std::thread::yield_now();
        }
        let mut buffer = [0; 64];
        for (from, to, at, shown) in [(&hers, &his, for_her, for_him), (&his, &hers, for_him, for_her)] {
            from.send_to(PACKET, at).expect("sent");
            let (len, source) = to.recv_from(&mut buffer).expect("a packet");
            assert_eq!((&buffer[..len], source), (PACKET, shown), "{runtime:?}");
        }

        alice.request("BYE", None, &[], "");
        bob.hear();
        bob.answer("200", "BYE", &[], "");
        while relayed().ports != 0 {
            std::thread::yield_now();
        }
        handle.shutdown().expect("a server");
        assert!(ended(), "{runtime:?}");
    }
}
