use super::*;
use crate::base::ids;
use crate::config::{Config, ListenerConfig};
use crate::ctx::fixture::{Fixture, with_message};
use crate::door::Transport;
use crate::wire::Uri;

const SUBSCRIBE: &str = "SUBSCRIBE sip:bob@example.com SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1\n\
    From: \"A\" <sip:alice@example.com>;tag=a1\nTo: <sip:bob@example.com>\nCall-ID: c1\nCSeq: 5 SUBSCRIBE\n";

/// A location service that knows no phone.
struct Nobody;

impl crate::ctx::Locate for Nobody {
    fn named(&self, _: &Ctx<'_>, _: &Uri<'_>) -> Option<crate::ctx::Reached<'_>> {
        None
    }

    fn other_flow(&self, _: &Ctx<'_>, _: &[u64]) -> Option<u64> {
        None
    }

    fn bound(&self, _: &Ctx<'_>, _: u64, _: bool) -> Option<crate::ctx::Reached<'_>> {
        None
    }

    fn flow_of(&self, _: &Ctx<'_>, _: &str, _: &[u8], _: &Uri<'_>, _: bool) -> Option<Origin> {
        None
    }
}

#[test]
fn a_number_is_taken_back_only_while_it_is_the_last() {
    let mut dialog = dialog(&mut Fixture::new(), "Contact: <sip:alice@198.51.100.7>\n").expect("it is whole");
    let next = |dialog: &mut Dialog| {
        dialog.advance();
        dialog.cseq()
    };
    let first = next(&mut dialog);
    dialog.take_back(first);
    assert_eq!(next(&mut dialog), first, "nobody has seen it");
    let second = next(&mut dialog);
    dialog.take_back(first);
    assert_eq!(next(&mut dialog), second + 1, "another was sent meanwhile");
}

fn dialog(fixture: &mut Fixture, more: &str) -> Result<Dialog, Refusal> {
    let origin = fixture.udp("198.51.100.7:49152");
    with_message(&format!("{SUBSCRIBE}{more}\n"), |msg| {
        let ess = msg.essentials().expect("it is whole");
        Dialog::new(&mut fixture.ctx(), &origin, msg, &ess, &ids::write(7))
    })
}

fn request(fixture: &mut Fixture, dialog: &mut Dialog) -> (String, Origin) {
    let mut arena = Arena::new();
    let mut ctx = fixture.ctx();
    let way = dialog.way(&mut ctx, &Nobody, "").expect("it can be reached");
    let (writer, addressed) = dialog.request(&mut ctx, &mut arena, Method::Notify, &way);
    (String::from_utf8_lossy(&writer.finish()).into_owned(), addressed.to)
}

#[test]
fn a_request_follows_the_route_set_and_goes_back_where_the_peer_came_from() {
    let mut fixture = Fixture::new();
    let routed = "Record-Route: <sip:p1;lr>, <sip:p2;lr>\nContact: <sip:a@198.51.100.7:5070>\n";
    let mut with_proxy = dialog(&mut fixture, routed).expect("a good dialog");
    let (text, to) = request(&mut fixture, &mut with_proxy);
    assert!(text.contains("Route: <sip:p1;lr>, <sip:p2;lr>\r\n"), "{text}");
    assert!(text.starts_with("NOTIFY sip:a@198.51.100.7:5070 SIP/2.0\r\n"), "{text}");
    assert_eq!(to.remote.port(), 49152, "the proxy is the way");
    // Without one a contact at the source's address names the port; a contact elsewhere is behind a NAT.
    for (contact, port) in [("a@198.51.100.7:5070", 5070), ("a@198.51.100.7", 5060), ("a@10.0.0.1", 49152)] {
        let mut direct = dialog(&mut fixture, &format!("Contact: <sip:{contact}>\n")).expect("a good dialog");
        assert_eq!(request(&mut fixture, &mut direct).1.remote.port(), port, "{contact}");
    }
}

#[test]
fn a_dialog_needs_one_sip_contact() {
    let mut fixture = Fixture::new();
    for more in ["", "Contact: *\n", "Contact: <tel:+1>\n", "Contact: <sip:a@b>, <sip:c@d>\n"] {
        let refused = dialog(&mut fixture, more).expect_err(more);
        assert_eq!(refused.status, Status::BAD_REQUEST, "{more}");
    }
}

#[test]
fn a_later_request_moves_the_target_and_an_earlier_one_is_refused() {
    let mut fixture = Fixture::new();
    let mut dialog = dialog(&mut fixture, "Contact: <sip:a@198.51.100.7>\n").expect("a good dialog");
    let origin = fixture.udp("198.51.100.8:5060");
    let mut take = |cseq: &str, contact: &str| {
        let text = SUBSCRIBE.replace("CSeq: 5", &format!("CSeq: {cseq}"));
        with_message(&format!("{text}Contact: <sip:{contact}>\n\n"), |msg| {
            let ess = msg.essentials().expect("it is whole");
            dialog.accept(&fixture.ctx(), &origin, msg, &ess).map_err(|refusal| refusal.status)
        })
    };
    assert_eq!(take("5", "b@198.51.100.8"), Err(Status::SERVER_ERROR));
    assert_eq!(take("6", "b@198.51.100.8"), Ok(()));
    let (text, to) = request(&mut fixture, &mut dialog);
    assert!(text.starts_with("NOTIFY sip:b@198.51.100.8 "), "{text}");
    assert_eq!(to.remote.ip().to_string(), "198.51.100.8");
}

#[test]
fn strangers_see_the_advertised_address_and_neighbours_the_real_one() {
    let mut config = Config::new("example.com");
    config.listeners.push(ListenerConfig {
        transport: Transport::Udp,
        addr: "0.0.0.0:5060".parse().expect("an address"),
        advertised: Some(("2001:db8::5".into(), Some(5090))),
        algorithms: None,
    });
    config.local_nets.push(crate::config::IpNet::parse("10.0.0.0/8").expect("a net"));
    let fixture = Fixture::with(config);
    let seen = |from: &str| {
        let own = OwnAddress::towards(&fixture.settings, &fixture.udp(from));
        format!("{}:{}", own.host(), own.port.unwrap_or_default())
    };
    assert_eq!(seen("198.51.100.7:5060"), "[2001:db8::5]:5090");
    assert_eq!(seen("10.0.0.7:5060"), "192.0.2.1:5060");
}
