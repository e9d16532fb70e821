//! Where responses go.

use super::*;

fn target(origin: Origin, host: &str, params: &str) -> String {
    let value = format!("SIP/2.0/UDP {host};branch=z9hG4bK1{params}");
    let via = Via::parse(value.as_bytes()).expect("a Via");
    let to = response_target(&origin, &via);
    assert_eq!(
        (to.flow, to.local),
        (origin.flow, origin.local),
        "a response leaves from where the request was sent to"
    );
    to.remote.to_string()
}

fn from(remote: &str, host: &str, params: &str) -> String {
    target(Fixture::new().udp(remote), host, params)
}

#[test]
fn without_rport_the_response_goes_to_the_port_of_sent_by() {
    assert_eq!(from("192.0.2.9:40000", "192.0.2.9:5062", ""), "192.0.2.9:5062");
    assert_eq!(from("192.0.2.9:40000", "192.0.2.9", ""), "192.0.2.9:5060");
}

#[test]
fn with_rport_it_goes_to_the_source() {
    assert_eq!(from("192.0.2.9:40000", "192.0.2.9:5062", ";rport"), "192.0.2.9:40000");
    assert_eq!(from("192.0.2.9:40000", "10.0.0.3:5062", ";rport"), "192.0.2.9:40000");
}

#[test]
fn a_sent_by_that_is_not_the_source_implies_rport() {
    assert_eq!(from("192.0.2.9:40000", "10.0.0.3:5062", ""), "192.0.2.9:40000");
    assert_eq!(from("192.0.2.9:40000", "phone.example.com", ""), "192.0.2.9:40000");
    assert_eq!(from("192.0.2.9:40000", "phone.invalid", ""), "192.0.2.9:40000");
}

#[test]
fn what_the_client_wrote_as_received_and_rport_is_not_believed() {
    assert_eq!(from("192.0.2.9:40000", "192.0.2.9", ";received=203.0.113.5;rport=9"), "192.0.2.9:40000");
    assert_eq!(from("192.0.2.9:40000", "192.0.2.9", ";received=203.0.113.5"), "192.0.2.9:5060");
}

#[test]
fn maddr_comes_first() {
    assert_eq!(from("192.0.2.9:40000", "192.0.2.9:5062", ";maddr=192.0.2.77;rport"), "192.0.2.77:5062");
    assert_eq!(from("192.0.2.9:40000", "192.0.2.9", ";maddr=224.0.1.75;ttl=1"), "224.0.1.75:5060");
}

#[test]
fn a_maddr_that_cannot_be_sent_to_is_passed_over() {
    for maddr in ["edge.example.com", "[2001:db8::1]", "0.0.0.0"] {
        assert_eq!(from("192.0.2.9:40000", "192.0.2.9", &format!(";maddr={maddr};rport")), "192.0.2.9:40000");
    }
}

#[test]
fn ipv6_is_compared_by_value() {
    assert_eq!(from("[2001:db8::9]:40000", "[2001:DB8:0:0::9]:5062", ""), "[2001:db8::9]:5062");
    assert_eq!(from("[2001:db8::9]:40000", "[2001:db8::8]:5062", ""), "[2001:db8::9]:40000");
}

#[test]
fn a_v4_address_in_v6_clothes_is_the_same() {
    assert_eq!(from("[::ffff:192.0.2.9]:40000", "192.0.2.9:5062", ""), "[::ffff:192.0.2.9]:5062");
}

#[test]
fn port_zero_is_never_sent_to() {
    assert_eq!(from("192.0.2.9:40000", "192.0.2.9:0", ""), "192.0.2.9:40000");
}

#[test]
fn on_a_stream_it_goes_back_over_the_connection() {
    let origin = Fixture::new().tcp();
    assert_eq!(target(origin, "192.0.2.9:5062", ";maddr=192.0.2.77"), origin.remote.to_string());
}

#[test]
fn a_stateless_response_takes_the_same_way() {
    let mut fx = Fixture::new();
    let origin = fx.udp("192.0.2.9:40000");
    let via = Via::parse(b"SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1").expect("a Via");
    respond_stateless(&mut fx.ctx(), &origin, &via, response(401));
    let sent = fx.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].remote.to_string(), "192.0.2.9:5062");
    assert_eq!(sent[0].after, None);
}

#[test]
fn a_response_for_a_connection_that_is_gone_is_counted() {
    let mut world = World::new(Over::Tcp);
    let key = world.open(&request("INVITE", "1"));
    world.fx.flows.remove(Fixture::TCP);
    world.respond(key, 486);
    assert!(world.sent().is_empty());
    assert_eq!(world.fx.stats.drops(DropReason::NoRoute), 1);
    world.run_out();
    world.assert_nothing_left();
}
