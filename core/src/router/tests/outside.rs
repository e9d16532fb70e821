//! Nobody gets outside our domains who is not permitted, whatever he writes.

use proptest::prelude::*;

use super::fixture::{ask, config, identity, settings};
use crate::router::{Caller, Ended, Goal};

fn uri() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![Just("sip:"), Just("sips:"), Just("SIP:")];
    let user = prop_oneof![
        "[a-z]{1,5}",
        "\\+?[0-9*.-]{1,12}",
        "(alice|bob|carol|sales|boss|loop|nobody)",
        "[!-~&&[^@<>\"%#\\[\\]\\\\^`{|}:]]{1,9}",
    ];
    let host = prop_oneof![
        Just("example.com"),
        Just("pbx.EXAMPLE.com"),
        Just("example.com.evil.example"),
        Just("evil.example"),
        Just("partner.example"),
        Just("192.0.2.66"),
        Just("[2001:db8::66]"),
    ];
    let tail = prop_oneof![
        Just(""),
        Just(";user=phone"),
        Just(";maddr=evil.example"),
        Just(";gr"),
        Just(";gr=urn:uuid:1;transport=tcp"),
        Just(":5070;lr?Route=%3Csip:evil.example%3E"),
        Just(";phone-context=example.com"),
    ];
    let sip = (scheme, user, host, tail).prop_map(|(s, u, h, t)| format!("{s}{u}@{h}{t}"));
    let tel = "tel:\\+?[0-9.-]{0,3}[0-9]{1,9}(;phone-context=(example\\.com|evil\\.example|\\+44))?";
    prop_oneof![4 => sip, 1 => tel, 1 => "urn:service:[a-z.]{1,6}"]
}

fn ended() -> impl Strategy<Value = Ended> {
    prop_oneof![
        Just(Ended::Offline),
        Just(Ended::Busy),
        Just(Ended::NoAnswer),
        Just(Ended::DoNotDisturb),
        Just(Ended::Declined),
        (300u16..700).prop_map(Ended::Failed),
    ]
}

fn is_ours(goal: &Goal) -> bool {
    match goal {
        Goal::Aor(aor) => aor.ends_with("@example.com"),
        // A GRUU of ours is looked up in memory.
        Goal::Uri { uri, trunk: None } => {
            let domains = crate::config::Domains::new(&config().domains);
            let parsed = crate::wire::Uri::parse(uri.as_bytes()).expect("goals are URIs");
            parsed.params().contains(b"gr")
                && parsed.host().is_some_and(|host| domains.canonical(host).is_some())
        }
        Goal::Uri { trunk: Some(_), .. } | Goal::Redirect(_) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nobody_gets_out_who_may_not(
        uri in uri(),
        who in 0..4,
        ends in prop::collection::vec(ended(), 0..8),
        redirect in uri(),
    ) {
        // No voicemail and no emergency call outside, which are for everybody; carol forwards where she may not call.
        let mut config = config();
        let calls = config.calls.as_mut().expect("calls");
        (calls.voicemail, calls.emergency) = (Some("sip:carol@example.com".into()), None);
        for account in &mut config.accounts {
            (account.dial, account.may_relay) = (None, false);
        }
        config.accounts[2].forward.always = Some("sip:carol@evil.example".into());
        config.accounts[1].forward.busy = Some("+15551234".into());
        let settings = settings(config);
        let (carol, nobody) = (identity("carol"), identity(""));
        let caller = match who {
            0 => Caller::Account(&carol),
            1 => Caller::Account(&nobody),
            2 => Caller::Trunk(0),
            _ => Caller::Trusted,
        };
        prop_assume!(crate::wire::Uri::parse(uri.as_bytes()).is_ok());
        let Ok(mut plan) = ask(&settings, caller, &uri) else { return Ok(()) };
        let mut steps = vec![plan.next(None).expect("a plan has a first step")];
        if let Some(step) = plan.clone().follow(vec![(redirect.into(), 1000)]) {
            steps.push(step);
        }
        steps.extend(ends.into_iter().map_while(|ended| plan.next(Some(ended))));
        for goal in steps.iter().flat_map(|step| &step.goals) {
            prop_assert!(is_ours(goal), "{uri} leads to {goal:?}");
        }
    }

    #[test]
    fn a_number_leaves_only_as_it_is_permitted(uri in uri()) {
        let settings = settings(config());
        let alice = identity("alice");
        prop_assume!(crate::wire::Uri::parse(uri.as_bytes()).is_ok());
        let Ok(mut plan) = ask(&settings, Caller::Account(&alice), &uri) else { return Ok(()) };
        let step = plan.next(None).expect("a plan has a first step");
        for goal in &step.goals {
            if let Goal::Uri { uri: out, trunk: Some(0) } = goal {
                let permitted = out.starts_with("sip:0044") && !out.starts_with("sip:004490");
                prop_assert!(permitted || out.starts_with("sip:112@"), "{uri} leads to {out}");
            }
        }
    }
}
