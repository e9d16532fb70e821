//! What a user agent is sent that it did not ask for: everything that was ever said, again, changed and out of order.

use strowger_core::door::{UaCallRequest as Do, UaRequest};

use super::calls::sdp;
use super::net::*;

/// One thing, drawn, that one of them does.
fn act(net: &mut Net, at: usize) {
    let call = net.view(at).calls.first().map_or(0, |call| call.call);
    let to: Box<str> = format!("sip:{}@example.com", USERS[3 - at]).into();
    let version = net.rng.below(9) as u32 + 1;
    let request = match net.rng.below(16) {
        0 => UaRequest::Register,
        1 => UaRequest::Unregister,
        2 => UaRequest::Subscribe { target: to, event: "presence".into(), expires: 60 },
        3 => UaRequest::Unsubscribe { id: net.rng.below(40) },
        4 => {
            let (event, kind) = ("presence".into(), "application/pidf+xml".into());
            UaRequest::Publish { event, kind, document: b"<presence/>"[..].into(), expires: 60 }
        }
        5 => UaRequest::Unpublish { event: "presence".into() },
        6 => UaRequest::Message { to, kind: "text/plain".into(), body: b"hello"[..].into() },
        7 | 8 => UaRequest::Call(Do::Begin { to, sdp: sdp(at, 1, "sendrecv") }),
        9 => UaRequest::Call(Do::Ring { call, sdp: Box::default() }),
        10 => UaRequest::Call(Do::Answer { call, sdp: sdp(at, 1, "sendrecv") }),
        11 => UaRequest::Call(Do::Reject { call, status: 486 }),
        12 => UaRequest::Call(Do::Change { call, sdp: sdp(at, version, "sendonly") }),
        13 => UaRequest::Call(Do::Digit { call, digit: '#', millis: 100 }),
        14 => UaRequest::Call(Do::Transfer { call, to, replaces: None }),
        _ => UaRequest::Call(Do::HangUp { call }),
    };
    net.ua(at, request);
}

/// A message that was sent before, perhaps with something changed in it.
fn again(net: &mut Net, at: usize) {
    let n = net.rng.below(net.wire.len() as u64) as usize;
    let mut data = net.wire[n].1.clone().into_bytes();
    for _ in 0..net.rng.below(4) {
        let place = net.rng.below(data.len() as u64) as usize;
        match net.rng.below(4) {
            0 => data[place] = net.rng.bits() as u8,
            1 => _ = data.remove(place),
            2 => data.insert(place, b"0;,<>\r\n "[net.rng.below(8) as usize]),
            _ => {
                let end = (place + net.rng.below(40) as usize).min(data.len());
                let piece = data[place..end].to_vec();
                data.splice(place..place, piece);
            }
        }
        if data.is_empty() {
            return;
        }
    }
    net.inject(at, &data);
}

#[test]
fn whatever_comes_in_whatever_order_all_ends() {
    for seed in 0..120 {
        let mut net = Net::new(seed, 10);
        net.tolerant = true;
        let transport = if seed % 3 == 0 { ";transport=tcp" } else { "" };
        let mut alice = account(ALICE, transport);
        if seed % 2 == 0 {
            alice.instance = "urn:uuid:00000000-0000-1000-8000-000A95A0E128".into();
        }
        net.does(ALICE, UaRequest::Open(Box::new(alice)));
        net.opens(BOB, "");
        net.does(ALICE, UaRequest::Register);
        net.does(BOB, UaRequest::Register);
        for _ in 0..80 {
            let at = if net.rng.chance(0.5) { ALICE } else { BOB };
            match net.rng.below(8) {
                0..4 => act(&mut net, at),
                4..7 => again(&mut net, at),
                _ if seed % 5 == 0 && net.rng.chance(0.1) => net.break_streams(),
                _ => {}
            }
            let pause = net.rng.below(3);
            net.run_for(pause);
        }
        net.end();
    }
}
