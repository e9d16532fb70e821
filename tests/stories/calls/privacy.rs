//! Who is told who calls: by From and P-Asserted-Identity, to phones and over trunks (RFC 3323, RFC 3325).

use strowger_core::config::{IpNet, NumberUser, RouteConfig, RouteTo, TrunkConfig};
use strowger_sim::message::Sip;

use super::*;

/// Carriers, by the number that leads there: the second is trusted with who calls.
const CARRIERS: [(&str, &str); 2] = [("+1", "10.9.9.1"), ("+2", "10.9.9.2")];

/// Calls out go over the carriers; alice has a number there.
fn with_carriers(config: &mut Config) {
    let calls = config.calls.as_mut().expect("calls");
    for (i, (number, ip)) in CARRIERS.into_iter().enumerate() {
        let mut trunk = TrunkConfig::new(format!("carrier{i}"), format!("sip:{ip}"));
        trunk.sources = vec![IpNet::parse(&format!("{ip}/32")).expect("a network")];
        trunk.from = format!("sip:{{user}}@{ip}");
        trunk.asserted = i == 1;
        let to = RouteTo {
            to: format!("{number}{{rest}}"),
            trunk: Some(trunk.name.clone()),
            ..RouteTo::default()
        };
        calls.routes.push(RouteConfig { pattern: format!("{number}*"), targets: vec![to] });
        calls.trunks.push(trunk);
    }
    let number =
        |number: &str, user: &str| NumberUser { number: number.into(), aor: format!("{user}@example.com") };
    calls.numbers.users = vec![number("+4920", "alice"), number("+4930", "bob")];
    calls.dial = vec!["+*".into()];
}

/// What an INVITE says of who calls.
fn shown(invite: &Sip) -> String {
    let lines =
        ["From", "P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID", "Privacy", "X-Mood"];
    let value = |name: &str| {
        let values: Vec<String> = invite.lines(name).into_iter().map(|v| without_tag(v).to_owned()).collect();
        (!values.is_empty()).then(|| format!("    {name}: {}\n", values.join(" | ")))
    };
    lines.into_iter().filter_map(value).collect()
}

fn without_tag(value: &str) -> &str {
    value.split(";tag=").next().unwrap_or_default()
}

#[test]
fn a_caller_is_named_to_whom_he_wants_to_be_and_to_who_is_trusted_with_it() {
    let nobody = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=nobody";
    let claims = [
        ("P-Asserted-Identity", "<sip:boss@example.com>"),
        ("P-Preferred-Identity", "<sip:boss@example.com>"),
        ("Remote-Party-ID", "<sip:boss@example.com>"),
        ("X-Mood", "curious"),
    ];
    let mut told = String::new();
    for (who, headers) in [
        ("alice", &[][..]),
        ("alice, who says that she is the boss", &claims),
        ("alice, who does not want to be named", &[("Privacy", "id")]),
        ("alice, who is nobody", &[("From", nobody)]),
        ("alice, who is nobody and says so", &[("From", nobody), ("Privacy", "user;id")]),
    ] {
        let (mut world, alice, bob, _) = world_with(1, with_carriers);
        let carriers = CARRIERS.map(|(_, ip)| {
            let carrier = world.phone_at(ip, "carrier", format!("{ip}:5060").parse().expect("an address"));
            world[carrier].manners = Manners::says(486);
            carrier
        });
        world[bob].manners = Manners::says(486);
        for (to, callee, whom) in [
            ("bob", bob, "a phone"),
            ("+15551", carriers[0], "a carrier"),
            ("+25552", carriers[1], "a carrier that is trusted"),
        ] {
            world.act(alice, |p, now| p.call_with(now, &format!("sip:{to}@example.com"), headers));
            world.run_for(s(1));
            assert_eq!(world.talk(alice).ending, Some(Ending::Refused(486)), "{}", ladder(&world));
            let invite = world.talk(callee).invite.as_ref().expect("it was called");
            told.push_str(&format!("{who}, to {whom}:\n{}", shown(invite)));
        }
        world.finish();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn what_a_carrier_says_of_a_caller_is_told_unless_he_hides() {
    let mut told = String::new();
    let asserted = ("P-Asserted-Identity", "<sip:+15551@10.9.9.1>");
    for headers in
        [&[asserted][..], &[asserted, ("Privacy", "id")], &[asserted, ("Privacy", "none"), ("X-Mood", "x")]]
    {
        let (mut world, _, bob, _) = world_with(2, with_carriers);
        world[bob].manners = Manners::says(486);
        let carrier = world.phone_at("carrier", "+15551", "10.9.9.1:5060".parse().expect("an address"));
        world.act(carrier, |p, now| p.call_with(now, "sip:+4930@example.com", headers));
        world.run_for(s(1));
        assert_eq!(world.talk(carrier).ending, Some(Ending::Refused(486)), "{}", ladder(&world));
        told.push_str(&format!(
            "{headers:?}:\n{}",
            shown(world.talk(bob).invite.as_ref().expect("it was called"))
        ));
        world.finish();
    }
    insta::assert_snapshot!(told);
}
