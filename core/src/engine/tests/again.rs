//! An engine that knows again what it read before, beside one that reads everything each time: nobody can tell them
//! apart.

use proptest::prelude::*;

use super::*;

/// One REGISTER as choices; the first of each is what most phones send, so that requests repeat themselves.
#[derive(Clone, Debug)]
struct Choice {
    user: usize,
    uri: usize,
    via: usize,
    to: usize,
    from: usize,
    hops: usize,
    call: usize,
    method: usize,
    contact: usize,
    more: usize,
    /// How much higher CSeq is than before.
    ahead: u32,
    /// Whether the branch is that of the last request.
    same_branch: bool,
    source: usize,
}

const USERS: [&str; 3] = ["bob", "alice", "a;b@c"];
const URIS: [&str; 6] =
    ["sip:example.com", "sip:EXAMPLE.com", "sip:192.0.2.1", "sip:elsewhere.org", "mailto:x", "sip:a b"];
const VIAS: [&str; 8] = [
    "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKBRANCH;rport",
    "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKBRANCH",
    "SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKBRANCH",
    "SIP/2.0/UDP phone.invalid;branch=z9hG4bKBRANCH;rport",
    "SIP/2.0/UDP 192.0.2.9:5060;branch=BRANCH",
    "SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKother\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKBRANCH",
    "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKBRANCH;ttl=x y",
    "SIP/7.0/UDP 192.0.2.9:5060;branch=z9hG4bKBRANCH",
];
const TOS: [&str; 8] = [
    "<sip:USER@example.com>",
    "\"A <b> c\" <sip:USER@example.com>",
    "sip:USER@example.com",
    "<sip:USER@EXAMPLE.com:5060>",
    "<sip:USER@example.com>;tag=x",
    "<sip:USER@elsewhere.org>",
    "\"<sip:USER@example.com>",
    "<tel:+1555>",
];
const FROMS: [&str; 9] = [
    "TO;tag=f1",
    "TO;tag=another",
    "TO",
    "TO;tag=",
    "TO;tag=a;x=y",
    "TO;tag=a b",
    "TO;tag=\"q\"",
    "<sip:carol@example.com>;tag=f1",
    "TO>;tag=f1",
];
const HOPS: [&str; 5] =
    ["Max-Forwards: 70\r\n", "", "Max-Forwards: 0\r\n", "Max-Forwards: 256\r\n", "Max-Forwards: x\r\n"];
const CALLS: [&str; 3] = ["c1@192.0.2.9", "c2@192.0.2.9", "c 3"];
const METHODS: [&str; 3] = ["REGISTER", "INVITE", "REGISTER x"];
const CONTACTS: [&str; 7] = [
    "Contact: <sip:USER@192.0.2.9:5060>\r\nExpires: 3600\r\n",
    "Contact: <sip:USER@192.0.2.9:5060>;expires=120\r\n",
    "Contact: <sip:USER@10.0.0.1>\r\n",
    "Contact: <sip:USER@192.0.2.9:5060>\r\nExpires: 0\r\n",
    "Contact: *\r\nExpires: 0\r\n",
    "",
    "Contact: <sip:USER@192.0.2.9:5060>, <sip:USER@192.0.2.9:5061>\r\n",
];
const MORE: [&str; 10] = [
    "",
    "User-Agent: A\r\n",
    "Supported: path, outbound, gruu\r\n",
    "Require: path\r\n",
    "Require: nothing\r\n",
    "Path: <sip:edge.example.com;lr>\r\n",
    "Authorization: Digest x\r\n",
    "Route: <sip:192.0.2.1;lr>\r\n",
    "Route: <sip:192.0.2.1;lr>, <sip:else.example;lr>\r\n",
    "Route: nonsense\r\n",
];
const SOURCES: [&str; 2] = ["192.0.2.9:5060", "192.0.2.9:5062"];

fn mostly(n: usize) -> impl Strategy<Value = usize> {
    prop_oneof![8 => Just(0), 1 => 0..n]
}

fn choice() -> impl Strategy<Value = Choice> {
    let first = (mostly(USERS.len()), mostly(URIS.len()), mostly(VIAS.len()), mostly(TOS.len()));
    let second = (mostly(FROMS.len()), mostly(HOPS.len()), mostly(CALLS.len()), mostly(METHODS.len()));
    let third = (mostly(CONTACTS.len()), mostly(MORE.len()), prop_oneof![8 => Just(1), 1 => 0..3_u32]);
    let fourth = (prop_oneof![8 => Just(false), 1 => Just(true)], mostly(SOURCES.len()));
    (first, second, third, fourth).prop_map(|(first, second, third, fourth)| {
        let (user, uri, via, to) = first;
        let (from, hops, call, method) = second;
        let (contact, more, ahead) = third;
        let (same_branch, source) = fourth;
        Choice { user, uri, via, to, from, hops, call, method, contact, more, ahead, same_branch, source }
    })
}

/// The text of the request with that CSeq and branch.
fn text(choice: &Choice, cseq: u32, branch: u32) -> Vec<u8> {
    let user = USERS[choice.user];
    let to = TOS[choice.to].replace("USER", user);
    let from = FROMS[choice.from].replace("TO", &to);
    let via = VIAS[choice.via].replace("BRANCH", &branch.to_string());
    let contact = CONTACTS[choice.contact].replace("USER", user);
    let (uri, hops, call) = (URIS[choice.uri], HOPS[choice.hops], CALLS[choice.call]);
    let (method, more) = (METHODS[choice.method], MORE[choice.more]);
    format!(
        "REGISTER {uri} SIP/2.0\r\nVia: {via}\r\n{hops}From: {from}\r\nTo: {to}\r\nCall-ID: {call}\r\n\
         CSeq: {cseq} {method}\r\n{contact}{more}Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn told() -> Config {
    let mut config = open();
    config.tell.changes = true;
    config.tell.outcomes = true;
    config
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_short_way_leads_where_the_long_one_does(
        requests in proptest::collection::vec((choice(), prop_oneof![8 => 0..40_u64, 1 => 0..4000_u64]), 1..40),
    ) {
        let (mut short, mut long) = (Host::new(told()), Host::new(told()));
        let (mut cseq, mut branch) = (1, 0);
        for (choice, seconds) in &requests {
            cseq += choice.ahead;
            branch += u32::from(!choice.same_branch);
            let data = text(choice, cseq, branch);
            let (remote, local) = (addr(SOURCES[choice.source]), addr("192.0.2.1:5060"));
            let step = |host: &mut Host| {
                let mut all = host.input(Input::Message { flow: UDP, remote, local, data: &data });
                all.extend(host.wait(Duration::from_secs(*seconds)));
                shown(&all)
            };
            // What was granted under other settings is read again.
            long.engine.rooms.registrar.reload();
            prop_assert_eq!(step(&mut short), step(&mut long), "at {}", String::from_utf8_lossy(&data));
            prop_assert_eq!(short.engine.stats(), long.engine.stats());
            prop_assert_eq!(short.engine.sizes(), long.engine.sizes());
        }
    }
}

#[test]
fn a_refresh_is_known_by_what_does_not_change_and_by_nothing_less() {
    let mut host = Host::new(open());
    let same = Choice {
        user: 0,
        uri: 0,
        via: 0,
        to: 0,
        from: 0,
        hops: 0,
        call: 0,
        method: 0,
        contact: 0,
        more: 0,
        ahead: 1,
        same_branch: false,
        source: 0,
    };
    let mut cseq = 0;
    let mut short = |choice: Choice| {
        cseq += 1;
        let before = host.engine.rooms.registrar.short_ways();
        let status = status(&host.udp(&text(&choice, cseq, cseq)));
        (status, host.engine.rooms.registrar.short_ways() - before)
    };
    assert_eq!(short(same.clone()), (Some(200), 0));
    assert_eq!(short(same.clone()), (Some(200), 1));
    assert_eq!(short(Choice { from: 1, ..same.clone() }), (Some(200), 1), "another tag");
    assert_eq!(short(Choice { hops: 2, ..same.clone() }), (Some(200), 0), "other hops");
    assert_eq!(short(same.clone()), (Some(200), 0), "which were kept");
    assert_eq!(short(Choice { hops: 3, ..same.clone() }), (Some(400), 0));
    assert_eq!(short(Choice { from: 5, ..same.clone() }), (Some(400), 0), "a tag that is none");
    assert_eq!(short(Choice { more: 4, ..same.clone() }), (Some(420), 0), "an extension we lack");
    assert_eq!(short(same.clone()), (Some(200), 1));
    assert_eq!(short(Choice { to: 5, ..same.clone() }), (Some(404), 0), "another domain");
    assert_eq!(short(Choice { via: 2, ..same.clone() }), (Some(200), 0), "another address");
}
