//! What is written is read as it was meant: the values of headers that are made here, by the writers that make them and the
//! readers there are. Those of one room alone are shown there: challenges in `auth`, credentials in `proof`, Contact in
//! `registrar`, Event and Subscription-State in `events`, Diversion in `router`.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::base::text::{clamp_u32, quotable};
use crate::ctx::fixture::{Fixture, with_message};
use crate::dialog::session_timer::{Refresher, Said, Terms};
use crate::dialog::{Dialog, Manner, OwnAddress, Replaces, Way, refer, reliable};
use crate::door::{FlowId, Transport};
use crate::wire::{
    Arena, Bounds, ContactValue, Event, Header, Host, Kind, Layout, Message, Method, NameAddr, Params,
    RequestWriter, ResponseWriter, Rport, Status, StatusLine, SubState, SubscriptionState, UriScheme, Value,
    parse,
};

/// Shows the request that this writes to somebody.
fn request<T>(write: impl FnOnce(&mut RequestWriter<'_>), look: impl FnOnce(Message<'_>) -> T) -> T {
    let mut arena = Arena::new();
    let mut writer = RequestWriter::new(&mut arena, Method::Info, b"sip:bob@example.com");
    write(&mut writer);
    read(&writer.finish(), look)
}

fn read<T>(bytes: &[u8], look: impl FnOnce(Message<'_>) -> T) -> T {
    let mut layout = Layout::new();
    look(parse(bytes, &mut layout, &Bounds::default()).expect("what is written is well-formed"))
}

/// The value that this writes, as whoever reads the message sees it.
pub(crate) fn value(write: impl FnOnce(&mut Value<'_>)) -> Vec<u8> {
    let write = |writer: &mut RequestWriter<'_>| _ = writer.value(Header::Subject, write);
    request(write, |msg| msg.header(Header::Subject).unwrap_or_default().to_vec())
}

const TOKEN: &str = "[A-Za-z0-9.!%*_+`'~-]{1,16}";

/// A word of a Call-ID (RFC 3261 s25.1) that Replaces can name.
const WORD: &str = "[A-Za-z0-9.!%*_+`'~()<>:/\\[\\]?{}@-]{1,20}";

/// As a Via has it.
fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z]{2,5})?",
        any::<[u8; 4]>().prop_map(|ip| std::net::Ipv4Addr::from(ip).to_string()),
        any::<[u16; 8]>().prop_map(|ip| format!("[{}]", std::net::Ipv6Addr::from(ip))),
    ]
}

fn transport() -> impl Strategy<Value = Transport> {
    prop::sample::select(&Transport::ALL[..])
}

/// A SIP URI with what may be in one.
fn uri() -> impl Strategy<Value = String> {
    let user = option::of("([a-z0-9+.-]|%[0-9A-F]{2}){1,8}");
    let param = option::of("[a-z]{1,5}(=[a-z0-9.]{1,5})?");
    (any::<bool>(), user, host(), option::of(any::<u16>()), param).prop_map(
        |(secure, user, host, port, param)| {
            let scheme = if secure { "sips" } else { "sip" };
            let user = user.map(|user| format!("{user}@")).unwrap_or_default();
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let param = param.map(|param| format!(";{param}")).unwrap_or_default();
            format!("{scheme}:{user}{host}{port}{param}")
        },
    )
}

/// What may be meant by a display name.
const NAME: &str = "[ -~äß]{0,16}";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn start_lines(method in TOKEN, uri in uri(), status in 200..700_u16, reason in "[ -~äß]{0,20}") {
        let mut arena = Arena::new();
        let bytes = RequestWriter::named(&mut arena, method.as_bytes(), uri.as_bytes()).finish();
        read(&bytes, |msg| match msg.kind() {
            Kind::Request { method_raw, uri: written, .. } => {
                prop_assert_eq!((method_raw, written), (method.as_bytes(), uri.as_bytes()));
                Ok(())
            }
            Kind::Response { .. } => Err(TestCaseError::fail("a request")),
        })?;
        request(|_| (), |msg| {
            let line: StatusLine<'_> = (Status(status), reason.as_str()).into();
            let bytes = ResponseWriter::new(&mut arena, msg, line, None, None).finish();
            read(&bytes, |msg| match msg.kind() {
                Kind::Response { status: written, reason: said } => {
                    prop_assert_eq!((written, said.trim_ascii()), (status, reason.trim().as_bytes()));
                    Ok(())
                }
                Kind::Request { .. } => Err(TestCaseError::fail("a response")),
            })
        })?;
    }

    #[test]
    fn via_and_cseq(
        transport in transport(),
        (host, port, branch) in (host(), option::of(any::<u16>()), TOKEN),
        alias in any::<bool>(),
        (number, method) in (any::<u32>(), TOKEN),
    ) {
        let token = transport.via_token();
        let write = |writer: &mut RequestWriter<'_>| {
            writer.via(token, (&host, port), &branch, alias).cseq(number, method.as_bytes());
        };
        request(write, |msg| {
            let via = msg.via().expect("well-formed");
            prop_assert_eq!((via.version, via.transport), (&b"2.0"[..], token.as_bytes()));
            prop_assert_eq!((via.host, via.port), (Host::parse(host.as_bytes()).expect("a host"), port));
            prop_assert_eq!(via.branch(), Some(branch.as_bytes()));
            prop_assert_eq!(via.rport() == Rport::Empty, transport == Transport::Udp);
            prop_assert_eq!(via.params.contains(b"alias"), alias);
            let cseq = msg.cseq().expect("well-formed");
            prop_assert!(cseq.number == number && cseq.is_for(Method::from_bytes(method.as_bytes()), method.as_bytes()));
            Ok(())
        })?;
    }

    #[test]
    fn the_way_back_and_the_tag_of_a_response(
        (host, port) in (host(), option::of(any::<u16>())),
        rport in any::<bool>(),
        (ip, from) in any::<(std::net::IpAddr, u16)>(),
        tag in TOKEN,
        name in NAME,
    ) {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let asked = if rport { ";rport" } else { "" };
        let text = format!(
            "OPTIONS sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {host}{port};branch=z9hG4bK1{asked}\n\
             Via: SIP/2.0/TCP below;branch=z9hG4bK2\nFrom: <sip:a@h>;tag=1\nTo: \"{}\" <sip:b@h>\nCall-ID: c\n\
             CSeq: 1 OPTIONS\nContent-Length: 0\n\n",
            quotable(&name)
        );
        with_message(&text, |msg| {
            let mut arena = Arena::new();
            let bytes = ResponseWriter::new(&mut arena, msg, Status::OK, Some(&tag), Some((ip, from))).finish();
            // RFC 5118 s4.9: an address of a socket for both versions is written as what it is.
            let ip = ip.to_canonical();
            read(&bytes, |answer| {
                let via = answer.via().expect("well-formed");
                let sent_by = msg.via().expect("well-formed");
                prop_assert_eq!((via.host, via.port, via.branch()), (sent_by.host, sent_by.port, sent_by.branch()));
                prop_assert_eq!(via.rport(), if rport { Rport::Value(from) } else { Rport::Absent });
                // RFC 3261 s18.2.1: where it differs from sent-by; RFC 3581 s4: where rport is asked for.
                let differs = sent_by.host.ip() != Some(ip);
                prop_assert!(via.received() == Some(ip) || !(differs || rport), "{:?}", via);
                prop_assert_eq!(answer.vias().count(), 2);
                let to = answer.to().expect("well-formed");
                prop_assert_eq!((to.tag(), &*to.display_name()), (Some(tag.as_bytes()), &*name));
                Ok(())
            })
        })?;
    }

    #[test]
    fn numbers(number in any::<u32>()) {
        const ALL: [Header; 9] = [
            Header::Expires, Header::MinExpires, Header::MaxForwards, Header::RetryAfter, Header::MinSe,
            Header::Rseq, Header::FlowTimer, Header::MaxBreadth, Header::ContentLength,
        ];
        for header in ALL {
            let write = |writer: &mut RequestWriter<'_>| _ = writer.number(header, number);
            // The body is as long as the message says at its end.
            if header != Header::ContentLength {
                let read = request(write, |msg| {
                    let typed = match header {
                        Header::Expires => msg.expires(),
                        Header::RetryAfter => msg.retry_after(),
                        Header::MinSe => Some(Said::of(msg).min_se),
                        _ => msg.header(header).and_then(clamp_u32),
                    };
                    (typed, msg.max_forwards())
                });
                prop_assert_eq!(read.0, Some(number), "{:?}", header);
                prop_assert_eq!(read.1.is_ok(), header != Header::MaxForwards || number < 256);
            }
        }
    }

    #[test]
    fn a_body_is_as_long_as_it_is_said_to_be(body in vec(any::<u8>(), 0..200), kind in "[a-z]{1,8}/[a-z+]{1,8}") {
        let mut arena = Arena::new();
        let mut writer = RequestWriter::new(&mut arena, Method::Info, b"sip:bob@example.com");
        writer.body(kind.as_bytes(), &body);
        read(&writer.finish(), |msg| {
            prop_assert_eq!((msg.body(), msg.content_type()), (&body[..], Some(kind.as_bytes())));
            prop_assert_eq!(msg.content_length(), Some(body.len() as u32));
            Ok(())
        })?;
    }

    #[test]
    fn rack_session_expires_and_replaces(
        (number, invite) in any::<(u32, u32)>(),
        (expires, uac, require) in any::<(u32, bool, bool)>(),
        replaces in (WORD, TOKEN, TOKEN, any::<bool>()),
        target in uri(),
    ) {
        let refresher = if uac { Refresher::Uac } else { Refresher::Uas };
        let terms = Terms { expires, refresher, agreed: true, require };
        let (call_id, to_tag, from_tag, early_only) = replaces;
        let [call_id, to_tag, from_tag] = [call_id, to_tag, from_tag].map(|text| text.into_bytes().into());
        let replaces = Replaces { call_id, to_tag, from_tag, early_only };
        let write = |writer: &mut RequestWriter<'_>| {
            reliable::write_rack(writer, number, invite);
            terms.write(writer);
            writer.header(Header::Replaces, replaces.value().as_bytes());
            writer.header(Header::ReferTo, refer::in_place_of(target.as_bytes(), &replaces).as_bytes());
        };
        request(write, |msg| {
            prop_assert_eq!(reliable::acknowledged(msg), Some((number, invite)));
            let said = Said { supports: require, expires: Some(expires), refresher: Some(refresher), min_se: 0 };
            prop_assert_eq!(Said::of(msg), said);
            prop_assert_eq!(Replaces::of(msg).expect("well-formed"), Some(replaces.clone()));
            let sought = refer::sought(msg).expect("well-formed");
            prop_assert_eq!((&*sought.target, sought.replaces.as_ref()), (&*target, Some(&replaces)));
            Ok(())
        })?;
    }

    #[test]
    fn what_came_of_a_refer(number in any::<u32>(), status in 100..700_u16, left in any::<u32>()) {
        request(|writer| refer::write_progress(writer, number, status, left), |msg| {
            let event = Event::parse(msg.header(Header::Event).expect("written")).expect("well-formed");
            let id = number.to_string();
            prop_assert_eq!((event.package, event.id()), (&b"refer"[..], Some(id.as_bytes())));
            let state = msg.header(Header::SubscriptionState).expect("written");
            let state = SubscriptionState::parse(state).expect("well-formed");
            let (expected, expires) =
                if status < 200 { (SubState::Active, Some(left)) } else { (SubState::Terminated, None) };
            prop_assert_eq!((state.state, state.expires()), (expected, expires));
            Ok(())
        })?;
    }

    #[test]
    fn lists_of_tokens_and_of_addresses(tokens in vec(TOKEN, 1..8), uris in vec(uri(), 1..5), names in vec(NAME, 5)) {
        let address = |(uri, name): (&String, &String)| format!("\"{}\" <{uri};lr>", quotable(name));
        let addresses: Vec<String> = uris.iter().zip(&names).map(address).collect();
        let lists = [Header::Allow, Header::Supported, Header::Require, Header::Unsupported, Header::AllowEvents, Header::Accept];
        let routes = [Header::Route, Header::RecordRoute, Header::Path, Header::ServiceRoute];
        let write = |writer: &mut RequestWriter<'_>| {
            lists.into_iter().for_each(|header| _ = writer.list(header, &tokens));
            routes.into_iter().for_each(|header| _ = writer.list(header, &addresses));
        };
        request(write, |msg| {
            for header in lists {
                let read: Vec<_> = msg.values(header).collect();
                prop_assert_eq!(&read, &tokens.iter().map(String::as_bytes).collect::<Vec<_>>());
                prop_assert!(tokens.iter().all(|token| msg.has_token(header, token.as_bytes())));
            }
            for header in routes {
                let read: Result<Vec<NameAddr<'_>>, _> = msg.addresses(header).collect();
                let read = read.expect("well-formed");
                prop_assert_eq!(read.len(), addresses.len());
                for ((read, uri), name) in read.iter().zip(&uris).zip(&names) {
                    prop_assert_eq!(read.uri.raw(), [uri.as_bytes(), b";lr"].concat());
                    prop_assert!(read.uri.has_lr());
                    prop_assert_eq!(&*read.display_name(), name);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn who_speaks_to_whom_within_a_dialog(
        (own, theirs, target) in (uri(), uri(), uri()),
        name in NAME,
        (user, sips) in ("[a-z0-9]{0,8}", any::<bool>()),
        transport in transport(),
    ) {
        let mut fixture = Fixture::new();
        let flow = FlowId(8);
        fixture.flow_up(flow, transport, Some("198.51.100.7:49152"));
        let origin = fixture.origin(flow, "198.51.100.7:49152");
        let mut ctx = fixture.ctx();
        let uris = [&own, &theirs, &target].map(|uri| uri.as_bytes());
        let dialog = Dialog::inviting(&mut ctx, &origin, uris[0], uris[1], uris[2]).expect("short enough");
        let display = quotable(&name);
        let manner = Manner { display: display.as_bytes(), contact: &user, sips, ..Manner::default() };
        let mut arena = Arena::new();
        let way = Way::to_phone(origin, uris[2], b"");
        let (writer, _) = dialog.request_as(&mut ctx, &mut arena, Method::Invite, &way, &manner);
        read(&writer.finish(), |msg| {
            let ess = msg.essentials().expect("whole");
            prop_assert_eq!(ess.uri.map(|uri| uri.raw()), Some(uris[2]));
            prop_assert_eq!((ess.from.uri.raw(), ess.to.uri.raw()), (uris[0], uris[1]));
            prop_assert_eq!((&*ess.from.display_name(), ess.to.display), (&*name, None));
            prop_assert_eq!((ess.from.tag(), ess.to.tag()), (Some(dialog.own_tag()), None));
            prop_assert_eq!((ess.call_id, ess.cseq.number), (dialog.call_id(), dialog.cseq()));
            let contact = msg.contacts().next().expect("written").expect("well-formed");
            let uri = contact.addr().expect("no star").uri;
            let secure = sips && transport.is_secure();
            prop_assert_eq!(uri.scheme(), if secure { UriScheme::Sips } else { UriScheme::Sip });
            prop_assert_eq!(uri.user().unwrap_or_default(), user.as_bytes());
            prop_assert_eq!((uri.host().and_then(|host| host.ip()), uri.port()), ("192.0.2.1".parse().ok(), Some(5060)));
            let named = !secure && transport != Transport::Udp;
            prop_assert_eq!(uri.transport(), named.then_some(transport.uri_param().as_bytes()));
            Ok(())
        })?;
    }

    #[test]
    fn our_contact_is_where_we_are_whatever_stands_behind_it(
        ip in any::<std::net::IpAddr>(),
        port in any::<u16>(),
        params in vec(("[a-z]{1,6}", option::of(TOKEN)), 0..4),
    ) {
        let mut fixture = Fixture::new();
        let mut origin = fixture.udp("198.51.100.7:5060");
        origin.local = (ip, port).into();
        let own = OwnAddress::towards(fixture.ctx().settings, &origin);
        let text: String = params.iter().map(|(name, value)| match value {
            Some(value) => format!(";{name}={value}"),
            None => format!(";{name}"),
        }).collect();
        let write = |writer: &mut RequestWriter<'_>| {
            own.write_via(writer, &origin, "z9hG4bK1");
            own.write_contact_with(writer, &origin, ("", true), |value| value.text(text.as_bytes()));
        };
        request(write, |msg| {
            let contact = ContactValue::parse(msg.header(Header::Contact).expect("written"));
            // The same name twice would be a fault of whoever wants it.
            let Ok(contact) = contact else { return Ok(()) };
            let addr = contact.addr().expect("no star");
            let there = (Some(ip.to_canonical()), Some(port));
            prop_assert_eq!((addr.uri.host().and_then(|host| host.ip()), addr.uri.port()), there);
            let via = msg.via().expect("well-formed");
            prop_assert_eq!((via.host.ip(), via.port), there);
            let read = |params: Params<'_>| {
                let one = |param: crate::wire::Param<'_>| (param.name.to_vec(), param.raw.map(<[u8]>::to_vec));
                params.iter().map(one).collect::<Vec<_>>()
            };
            let meant = params.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone().map(String::into_bytes)));
            prop_assert_eq!(read(addr.params), meant.collect::<Vec<_>>());
            Ok(())
        })?;
    }
}
