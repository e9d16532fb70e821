//! A stub among servers that answer, are silent, truncate and refuse.

use strowger_core::door::Ticket;

use super::message::tests::{response, srv};
use super::*;

fn at(millis: u64) -> Time {
    Time::from_millis(1_000_000 + millis)
}

fn stub() -> Stub {
    let config = StubConfig {
        servers: vec![([192, 0, 2, 53], 53).into(), ([192, 0, 2, 54], 53).into()],
        families: (true, false),
        ..StubConfig::default()
    };
    Stub::new(config, [7; 32])
}

fn query(host: &str, port: Option<u16>, transport: Option<Transport>) -> ResolveQuery {
    let near = ([10, 0, 0, 1], 5060).into();
    ResolveQuery { ticket: Ticket::new(1, 1), host: host.into(), port, transport, secure: false, near }
}

fn next(stub: &mut Stub) -> Exchange {
    stub.poll_exchange().expect("an exchange")
}

fn address(exchange: &Exchange, ip: [u8; 4]) -> Vec<u8> {
    response(&exchange.query, &[(Kind::A, 60, ip.to_vec())])
}

fn shown(found: Option<Found>) -> Vec<String> {
    let ways = found.expect("a look-up that ended").ways;
    ways.iter().map(|way| format!("{} {}", way.transport.via_token(), way.remote)).collect()
}

#[test]
fn records_are_asked_for_once_and_kept_as_long_as_they_live() {
    let mut stub = stub();
    stub.resolve(at(0), query("sip.example.com", Some(5070), None));
    // The same question is under way already.
    stub.resolve(at(1), query("SIP.example.com", Some(5070), None));
    let exchange = next(&mut stub);
    assert_eq!((exchange.server.to_string().as_str(), exchange.stream), ("192.0.2.53:53", false));
    assert_eq!(stub.poll_exchange(), None);
    let answer = address(&exchange, [198, 51, 100, 1]);
    assert!(exchange.fits(&answer));
    stub.answered(at(20), exchange.number, Some(&answer));
    for _ in 0..2 {
        assert_eq!(shown(stub.poll_found()), ["UDP 198.51.100.1:5070"]);
    }
    stub.resolve(at(59_000), query("sip.example.com", Some(5070), None));
    assert_eq!(shown(stub.poll_found()), ["UDP 198.51.100.1:5070"]);
    stub.resolve(at(61_000), query("sip.example.com", Some(5070), None));
    assert_eq!(stub.poll_found(), None);
    assert_ne!(next(&mut stub).query, exchange.query, "each question has a number of its own");
}

#[test]
fn a_silent_server_is_followed_by_the_next_and_in_the_end_nothing_is_found() {
    let mut stub = stub();
    stub.resolve(at(0), query("sip.example.com", Some(5070), None));
    let mut servers = Vec::new();
    let mut now = at(0);
    while stub.poll_found().is_none() {
        while let Some(exchange) = stub.poll_exchange() {
            servers.push(exchange.server.ip().to_string());
        }
        let due = stub.poll_timeout().expect("something is due");
        // An early call changes nothing.
        stub.handle_timeout(now);
        now = due;
        stub.handle_timeout(now);
    }
    assert_eq!(servers, ["192.0.2.53", "192.0.2.54", "192.0.2.53", "192.0.2.54"]);
    assert_eq!(now, at(6_000));
    assert_eq!(stub.poll_timeout(), None);
}

#[test]
fn what_does_not_fit_is_asked_for_over_a_stream() {
    let mut stub = stub();
    stub.resolve(at(0), query("example.com", None, Some(Transport::Tcp)));
    let exchange = next(&mut stub);
    let mut answer = response(&exchange.query, &[]);
    answer[2] |= 0x02;
    stub.answered(at(1), exchange.number, Some(&answer));
    let again = next(&mut stub);
    assert_eq!((again.server, again.stream), (exchange.server, true));
    let answer = response(&again.query, &[(Kind::Srv, 60, srv(1, 1, 5080, "sip.example.com"))]);
    stub.answered(at(2), again.number, Some(&answer));
    let exchange = next(&mut stub);
    stub.answered(at(3), exchange.number, Some(&address(&exchange, [198, 51, 100, 1])));
    assert_eq!(shown(stub.poll_found()), ["TCP 198.51.100.1:5080"]);
    // An answer that comes twice, or to nothing, is nothing.
    stub.answered(at(4), exchange.number, Some(&answer));
    stub.answered(at(4), 99, None);
}

#[test]
fn a_server_that_refuses_or_cannot_be_reached_is_followed_by_the_next() {
    let mut stub = stub();
    stub.resolve(at(0), query("sip.example.com", Some(5070), None));
    let first = next(&mut stub);
    let mut refused = response(&first.query, &[]);
    refused[3] |= 5;
    stub.answered(at(1), first.number, Some(&refused));
    let second = next(&mut stub);
    assert_ne!(second.server, first.server);
    stub.answered(at(2), second.number, None);
    assert_eq!(next(&mut stub).server, first.server);
}

#[test]
fn whoever_failed_is_tried_last_for_a_while() {
    let mut stub = stub();
    let remote = |last| SocketAddr::from(([198, 51, 100, last], 5070));
    stub.resolve(at(0), query("sip.example.com", Some(5070), None));
    let exchange = next(&mut stub);
    let both = [(Kind::A, 3600, vec![198, 51, 100, 1]), (Kind::A, 3600, vec![198, 51, 100, 2])];
    stub.answered(at(1), exchange.number, Some(&response(&exchange.query, &both)));
    let first = |stub: &mut Stub, now| {
        stub.resolve(now, query("sip.example.com", Some(5070), None));
        stub.poll_found().map(|found| found.ways[0].remote)
    };
    stub.poll_found();
    assert_eq!(first(&mut stub, at(2)), Some(remote(1)));
    stub.failed(at(3), remote(1));
    assert_eq!(first(&mut stub, at(4)), Some(remote(2)));
    assert_eq!(first(&mut stub, at(61_000)), Some(remote(1)));
}

#[test]
fn names_of_the_machine_and_names_that_cannot_be_need_no_server() {
    let mut stub = stub();
    stub.config.hosts = crate::dns::hosts("10.0.0.7 pbx\n");
    stub.resolve(at(0), query("PBX", None, None));
    assert_eq!(shown(stub.poll_found()), ["UDP 10.0.0.7:5060"]);
    stub.resolve(at(0), query("a..b", None, None));
    assert_eq!(shown(stub.poll_found()), [""; 0]);
    stub.resolve(at(0), query("192.0.2.9", None, Some(Transport::Tcp)));
    assert_eq!(shown(stub.poll_found()), ["TCP 192.0.2.9:5060"]);
    assert_eq!((stub.poll_exchange(), stub.poll_timeout()), (None, None));
}

#[test]
fn what_is_kept_and_what_is_asked_is_bounded() {
    let mut stub = stub();
    (stub.config.cache, stub.config.at_once) = (3, 5);
    for n in 0..8u8 {
        stub.resolve(at(0), query(&format!("sip{n}.example.com"), Some(5070), None));
    }
    assert_eq!(stub.found.len(), 3, "three found nothing at once");
    while let Some(exchange) = stub.poll_exchange() {
        stub.answered(at(1), exchange.number, Some(&address(&exchange, [198, 51, 100, 1])));
    }
    assert_eq!((stub.cache.len(), stub.found.len(), stub.asked.len()), (3, 8, 0));
}
