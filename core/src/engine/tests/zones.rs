//! IPv6 zones: they name an interface of one machine (RFC 4007 s11.2), and the grammar of SIP has none (RFC 3261 s25.1).
//! Whoever is seen with one is answered there; who writes one is told, or dropped and counted.

use super::*;

const LINK_LOCAL: &str = "[fe80::9%3]:5060";

fn over(host: &mut Host, text: &str) -> Vec<Command> {
    let (remote, local) = (addr(LINK_LOCAL), addr("[fe80::1%3]:5060"));
    host.input(Input::Message { flow: UDP, remote, local, data: text.as_bytes() })
}

fn register(via: &str, contact: &str) -> String {
    format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bKzone;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@example.com>;tag=z\r\nTo: <sip:bob@example.com>\r\nCall-ID: zone\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:bob@{contact}>\r\nContent-Length: 0\r\n\r\n"
    )
}

fn sent(commands: &[Command]) -> Vec<(SocketAddr, String)> {
    let sent = commands.iter().filter_map(|command| match command {
        Command::Transmit(t) => Some((t.remote, String::from_utf8_lossy(&t.payload).into_owned())),
        _ => None,
    });
    sent.collect()
}

#[test]
fn who_is_seen_in_a_zone_is_answered_there_and_nothing_says_so() {
    let mut host = Host::new(open());
    let commands = over(&mut host, &register("[fe80::9]:5060", "[fe80::9]:5060"));
    let sent = sent(&commands);
    let [(to, answer)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*to, addr(LINK_LOCAL));
    assert!(answer.starts_with("SIP/2.0 200 ") && !answer.contains('%'), "{answer}");
}

#[test]
fn who_writes_a_zone_is_told() {
    for zone in ["[fe80::9%eth0]", "[fe80::9%25eth0]", "[fe80::9%3]"] {
        let mut host = Host::new(open());
        let commands = over(&mut host, &register("[fe80::9]:5060", &format!("{zone}:5060")));
        let contact = sent(&commands);
        assert!(
            contact.iter().all(|(_, text)| text.starts_with("SIP/2.0 400 ")) && contact.len() == 1,
            "{contact:?}"
        );
        let commands = over(&mut host, &register(&format!("{zone}:5060"), "[fe80::9]:5060"));
        // Without a Via that can be read nobody knows where to answer; it is counted.
        assert!(sent(&commands).iter().all(|(_, text)| text.starts_with("SIP/2.0 400 ")), "{commands:?}");
        assert!(host.engine.stats().counter(Counter::ParseErrors) > 0, "{zone}");
        let text = register("[fe80::9]:5060", "[fe80::9]:5060")
            .replace("sip:example.com SIP", &format!("sip:{zone} SIP"));
        let uri = sent(&over(&mut host, &text));
        assert!(uri.iter().all(|(_, text)| text.starts_with("SIP/2.0 400 ")) && uri.len() == 1, "{uri:?}");
    }
}
