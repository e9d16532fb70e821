//! A registrar that takes a short way for what it has read before, beside one that reads everything each time: nobody can
//! tell them apart.

use proptest::prelude::*;

use super::{Phone, World};
use crate::config::OutboundMode;
use crate::door::{FlowId, Scheme, Transport};

/// One REGISTER as choices; the first of each is what most phones send. Small, so that requests repeat themselves.
#[derive(Clone, Debug)]
struct Choice {
    uri: u8,
    contact: u8,
    params: u8,
    expires: u8,
    supported: u8,
    agent: u8,
    call: u8,
    sent_by: u8,
    over: u8,
    more: u8,
    ahead: u8,
}

#[derive(Clone, Debug)]
enum Op {
    Register(Choice),
    Wait(u16),
    Die,
    /// Somebody else asks from now on.
    Become(u8),
}

fn mostly(n: u8) -> impl Strategy<Value = u8> {
    prop_oneof![6 => Just(0), 1 => 0..n]
}

fn op() -> impl Strategy<Value = Op> {
    let first = (mostly(4), mostly(3), mostly(6), mostly(4), mostly(4), mostly(3));
    let second = (mostly(3), mostly(3), mostly(3), mostly(5), prop_oneof![6 => Just(1), 1 => 0..3_u8]);
    let register = (first, second).prop_map(|(first, second)| {
        let ((uri, contact, params, expires, supported, agent), (call, sent_by, over, more, ahead)) =
            (first, second);
        Op::Register(Choice {
            uri,
            contact,
            params,
            expires,
            supported,
            agent,
            call,
            sent_by,
            over,
            more,
            ahead,
        })
    });
    prop_oneof![8 => register, 1 => (1..4000_u16).prop_map(Op::Wait), 1 => Just(Op::Die), 1 => (0..4_u8).prop_map(Op::Become)]
}

/// A world, and its two streams.
struct Side {
    world: World,
    streams: [Option<FlowId>; 2],
    cseqs: [u32; 3],
}

impl Side {
    fn new() -> Side {
        let world = World::of(|config| {
            let registrar = config.registrar.as_mut().expect("there is one");
            (registrar.outbound, registrar.gruu, registrar.expires_jitter_percent) =
                (OutboundMode::On, true, 10);
            config.tell.changes = true;
        });
        Side { world, streams: [None; 2], cseqs: [0; 3] }
    }

    fn register(&mut self, choice: &Choice) -> String {
        let pick = |of: &[&'static str], n: u8| of[usize::from(n) % of.len()];
        let Choice { uri, contact, params, expires, supported, agent, call, sent_by, over, more, ahead } =
            *choice;
        let cseq = &mut self.cseqs[usize::from(call)];
        *cseq += u32::from(ahead);
        let mut phone = Phone::at("198.51.100.7:5060").call(pick(&["1@a", "2@a", "3@b"], call), *cseq);
        phone.uri = pick(&["sip:example.com", "sip:EXAMPLE.com", "sips:example.com", "sip:192.0.2.1"], uri);
        phone.sent_by = pick(&["198.51.100.7:5060", "10.0.0.1:5060", "phone.invalid"], sent_by).into();
        phone.remote = pick(&["198.51.100.7:5060", "198.51.100.7:5060", "198.51.100.7:5061"], over + more)
            .parse()
            .expect("one");
        let contact = pick(
            &["<sip:bob@198.51.100.7:5060>", "<sip:bob@10.0.0.1>", "<sip:BOB@198.51.100.7:5060>"],
            contact,
        );
        let params = pick(
            &[
                "",
                ";q=0.5",
                ";expires=0",
                ";+sip.instance=\"<urn:uuid:1>\";reg-id=1",
                ";+audio",
                ";expires=90",
            ],
            params,
        );
        phone = phone.contact(&format!("{contact}{params}"));
        if expires > 0 {
            phone = phone.without_expires();
        }
        for line in [
            pick(&["", "", "Expires: 0", "Expires: 120"], expires),
            pick(
                &[
                    "",
                    "Supported: path, outbound, gruu",
                    "Supported: gruu",
                    "Supported: gruu\nSupported: outbound",
                ],
                supported,
            ),
            pick(&["", "User-Agent: A", "User-Agent: B/1"], agent),
            pick(
                &[
                    "",
                    "Contact: <sip:bob@198.51.100.9>",
                    "Path: <sip:edge.example.com;lr>",
                    "",
                    "Contact: <sip:c@198.51.100.7:1>, <sip:d@198.51.100.7:2>",
                ],
                more,
            ),
        ] {
            if !line.is_empty() {
                phone = phone.header(line);
            }
        }
        if let Some(stream) = usize::from(over).checked_sub(1).and_then(|at| self.streams.get_mut(at)) {
            let remote = phone.remote.to_string();
            phone.flow = *stream.get_or_insert_with(|| self.world.connect(Transport::Tcp, &remote));
        }
        self.world.send(&phone)
    }

    fn step(&mut self, op: &Op) -> String {
        let mut shown = match op {
            Op::Register(choice) => self.register(choice),
            Op::Wait(seconds) => {
                self.world.sleep(u64::from(*seconds));
                String::new()
            }
            Op::Die => {
                for flow in core::mem::take(&mut self.streams).into_iter().flatten() {
                    self.world.disconnect(flow);
                }
                String::new()
            }
            Op::Become(who) => {
                let asker = &mut self.world.who;
                asker.aors = vec![if *who == 1 { "mallory@example.com" } else { "bob@example.com" }.into()];
                asker.foreign_contacts = *who == 2;
                asker.scheme = if *who == 3 { Scheme::Trusted } else { Scheme::Digest };
                String::new()
            }
        };
        shown.push_str(&self.world.commands());
        shown + &format!("{:#?}", self.world.lookup("bob@example.com"))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_short_way_leads_where_the_long_one_does(ops in proptest::collection::vec(op(), 1..40)) {
        let (mut short, mut long) = (Side::new(), Side::new());
        for op in &ops {
            // What was granted under other settings is read again.
            long.world.registrar.reload();
            prop_assert_eq!(short.step(op), long.step(op), "at {:?}", op);
        }
    }
}

#[test]
fn a_refresh_that_says_the_same_takes_the_short_way() {
    let mut world = World::new();
    let mut phone = Phone::at("198.51.100.7:5060").header("User-Agent: A");
    let short_ways = |world: &World| world.registrar.short_ways();
    world.send(&phone);
    world.send(phone.again());
    assert_eq!(short_ways(&world), 1);
    // Another Call-ID, contact, expiry or agent is read.
    world.send(&phone.clone().call("2@phone", 1));
    phone = phone.call("2@phone", 1);
    assert_eq!(short_ways(&world), 1);
    world.send(phone.again());
    assert_eq!(short_ways(&world), 2);
    world.send(&phone.clone().without_expires().header("Expires: 600"));
    world.send(&phone.clone().call("2@phone", 3).contact("<sip:bob@198.51.100.7:5060;ob>"));
    assert_eq!(short_ways(&world), 2);
    // So is the same under other settings.
    world.send(&phone.clone().call("2@phone", 4));
    world.registrar.reload();
    world.send(&phone.clone().call("2@phone", 5));
    assert_eq!(short_ways(&world), 2);
    world.send(&phone.clone().call("2@phone", 6));
    assert_eq!(short_ways(&world), 3);
}
