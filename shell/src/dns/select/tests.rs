//! Tables of RFC 3263: what a URI and the records lead to.

use std::collections::BTreeMap;

use super::*;

type Book = BTreeMap<Question, Vec<Data>>;

fn book(records: &[(&str, Data)]) -> Book {
    let mut book = Book::new();
    for (name, data) in records {
        let kind = match data {
            Data::A(_) => Kind::A,
            Data::Aaaa(_) => Kind::Aaaa,
            Data::Srv { .. } => Kind::Srv,
            Data::Naptr { .. } => Kind::Naptr,
        };
        book.entry(Question::new(name, kind)).or_default().push(data.clone());
    }
    book
}

fn a(ip: &str) -> Data {
    match ip.parse().expect("an address") {
        IpAddr::V4(ip) => Data::A(ip),
        IpAddr::V6(ip) => Data::Aaaa(ip),
    }
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Data {
    Data::Srv { priority, weight, port, target: target.into() }
}

fn naptr(order: u16, service: &str, flags: &str, replacement: &str) -> Data {
    Data::Naptr {
        order,
        preference: 1,
        flags: flags.into(),
        service: service.into(),
        replacement: replacement.into(),
    }
}

const ALL: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

fn want(host: &str) -> Want<'_> {
    Want {
        host,
        port: None,
        transport: None,
        secure: false,
        usable: &ALL,
        families: (true, true),
        v4_first: true,
        search: &[],
        seed: 1,
    }
}

/// The ways when everything that is not in the book is known not to be, and how many rounds that took.
fn ways(want: &Want<'_>, book: &Book) -> (Vec<String>, usize) {
    let mut asked = Vec::new();
    for round in 0..10 {
        let known = |question: &Question| {
            asked.contains(question).then(|| book.get(question).map_or(&[][..], Vec::as_slice))
        };
        match select(want, &known) {
            Selection::Ask(questions) => {
                assert!(questions.iter().all(|question| !asked.contains(question)), "nothing is asked twice");
                asked.extend(questions);
            }
            Selection::Ways(ways) => {
                let shown = ways.iter().map(|way| format!("{} {}", way.transport.via_token(), way.remote));
                return (shown.collect(), round);
            }
        }
    }
    panic!("it does not end");
}

#[test]
fn an_address_needs_no_records() {
    for (host, port, transport, secure, expected) in [
        ("192.0.2.1", None, None, false, &["UDP 192.0.2.1:5060"][..]),
        ("192.0.2.1", Some(5070), Some(Transport::Tcp), false, &["TCP 192.0.2.1:5070"]),
        ("192.0.2.1", None, None, true, &["TLS 192.0.2.1:5061"]),
        ("192.0.2.1", None, Some(Transport::Tcp), true, &["TLS 192.0.2.1:5061"]),
        ("192.0.2.1", None, Some(Transport::Udp), true, &[]),
        ("192.0.2.1", None, Some(Transport::Ws), false, &["WS 192.0.2.1:80"]),
        ("192.0.2.1", None, Some(Transport::Ws), true, &["WSS 192.0.2.1:443"]),
        ("192.0.2.1", Some(8443), Some(Transport::Wss), false, &["WSS 192.0.2.1:8443"]),
        ("[2001:db8::1]", None, None, false, &["UDP [2001:db8::1]:5060"]),
        ("2001:db8::1", None, None, false, &["UDP [2001:db8::1]:5060"]),
        ("::ffff:192.0.2.1", None, None, false, &["UDP 192.0.2.1:5060"]),
        ("0.0.0.0", None, None, false, &[]),
        ("192.0.2.1", Some(0), None, false, &[]),
    ] {
        let want = Want { port, transport, secure, ..want(host) };
        let (found, rounds) = ways(&want, &Book::new());
        assert_eq!((found.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), rounds), (expected, 0));
    }
}

#[test]
fn with_a_port_only_the_address_is_looked_up() {
    let book = book(&[
        ("example.com", a("192.0.2.1")),
        ("example.com", a("2001:db8::1")),
        ("_sip._udp.example.com", srv(0, 0, 5080, "other.example.com")),
    ]);
    let named = Want { port: Some(5070), ..want("Example.com") };
    assert_eq!(ways(&named, &book), (vec!["UDP 192.0.2.1:5070".into(), "UDP [2001:db8::1]:5070".into()], 1));
    let six = Want { v4_first: false, ..named.clone() };
    assert_eq!(ways(&six, &book).0[0], "UDP [2001:db8::1]:5070");
    let only_four = Want { families: (true, false), ..named };
    assert_eq!(ways(&only_four, &book).0, ["UDP 192.0.2.1:5070"]);
}

#[test]
fn a_domain_says_by_naptr_which_transports_it_likes() {
    let book = book(&[
        ("example.com", naptr(20, "SIP+D2U", "s", "_sip._udp.example.com")),
        ("example.com", naptr(10, "SIPS+D2T", "s", "_sips._tcp.example.com")),
        ("example.com", naptr(30, "SIP+D2T", "a", "direct.example.com")),
        ("example.com", naptr(5, "E2U+SIP", "u", "x.example.com")),
        // Where a WebSocket is wanted the URI says so.
        ("example.com", naptr(1, "SIP+D2W", "a", "direct.example.com")),
        ("_sip._udp.example.com", srv(1, 0, 5060, "one.example.com")),
        ("_sips._tcp.example.com", srv(1, 0, 5061, "two.example.com")),
        ("one.example.com", a("192.0.2.1")),
        ("two.example.com", a("192.0.2.2")),
        ("direct.example.com", a("192.0.2.3")),
        ("example.com", a("192.0.2.9")),
    ]);
    let expected = ["TLS 192.0.2.2:5061", "UDP 192.0.2.1:5060", "TCP 192.0.2.3:5060"];
    assert_eq!(ways(&want("example.com"), &book).0, expected);
    // Who speaks no TLS does not see it, and sips sees nothing else.
    let plain = Want { usable: &ALL[..2], ..want("example.com") };
    assert_eq!(ways(&plain, &book).0, expected[1..]);
    assert_eq!(ways(&Want { secure: true, ..want("example.com") }, &book).0, expected[..1]);
}

#[test]
fn without_naptr_srv_records_say_it_and_without_these_the_address() {
    let servers = book(&[
        ("_sip._tcp.example.com", srv(1, 0, 5070, "sip.example.com")),
        ("sip.example.com", a("192.0.2.1")),
        ("example.com", a("192.0.2.9")),
    ]);
    assert_eq!(ways(&want("example.com"), &servers).0, ["TCP 192.0.2.1:5070"]);
    let only_udp = Want { transport: Some(Transport::Udp), ..want("example.com") };
    assert_eq!(ways(&only_udp, &servers).0, ["UDP 192.0.2.9:5060"]);
    let bare = book(&[("example.com", a("192.0.2.9"))]);
    assert_eq!(ways(&want("example.com"), &bare).0, ["UDP 192.0.2.9:5060"]);
    assert_eq!(ways(&Want { secure: true, ..want("example.com") }, &bare).0, ["TLS 192.0.2.9:5061"]);
    assert_eq!(ways(&want("nowhere.example"), &bare).0, [""; 0]);
}

#[test]
fn a_service_that_is_not_there_is_not_looked_for_elsewhere() {
    let none = book(&[("_sip._udp.example.com", srv(0, 0, 0, "")), ("example.com", a("192.0.2.9"))]);
    let udp = Want { transport: Some(Transport::Udp), ..want("example.com") };
    assert_eq!(ways(&udp, &none).0, [""; 0]);
}

#[test]
fn servers_stand_by_priority_and_share_by_weight() {
    let servers = book(&[
        ("_sip._udp.example.com", srv(2, 0, 5060, "spare.example.com")),
        ("_sip._udp.example.com", srv(1, 3, 5060, "big.example.com")),
        ("_sip._udp.example.com", srv(1, 1, 5060, "small.example.com")),
        ("big.example.com", a("192.0.2.1")),
        ("small.example.com", a("192.0.2.2")),
        ("spare.example.com", a("192.0.2.3")),
    ]);
    let mut first = BTreeMap::new();
    for seed in 0..1000 {
        let (found, _) = ways(&Want { seed, ..want("example.com") }, &servers);
        assert_eq!((found.len(), found[2].as_str()), (3, "UDP 192.0.2.3:5060"));
        *first.entry(found[0].clone()).or_insert(0) += 1;
    }
    // Three to one, by the draw of RFC 2782 between 0 and 4 with the lighter one first: two in five fall on it.
    assert_eq!(first["UDP 192.0.2.1:5060"] + first["UDP 192.0.2.2:5060"], 1000);
    assert!((500..700).contains(&first["UDP 192.0.2.1:5060"]), "{first:?}");
}

#[test]
fn a_name_without_dots_is_looked_up_in_the_domains_of_the_machine() {
    let book = book(&[("pbx.office.example", a("192.0.2.1")), ("pbx", a("192.0.2.2"))]);
    let search = ["home.example".to_owned(), "office.example".to_owned()];
    let named = Want { port: Some(5060), search: &search, ..want("pbx") };
    assert_eq!(ways(&named, &book).0, ["UDP 192.0.2.1:5060"]);
    assert_eq!(ways(&Want { search: &[], ..named }, &book).0, ["UDP 192.0.2.2:5060"]);
}

#[test]
fn a_server_with_many_addresses_is_tried_so_often_and_no_more() {
    let many: Vec<(&str, Data)> = (0..100u8).map(|n| ("example.com", a(&format!("192.0.2.{n}")))).collect();
    assert_eq!(ways(&want("example.com"), &book(&many)).0.len(), WAYS);
}
