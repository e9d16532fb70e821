//! What follows how the phones of an account ended.

use super::fixture::{ask, ask_with, config, identity, path, settings, shown};
use crate::config::{Config, Voicemail};
use crate::ctx::Refusal;
use crate::door::RouteTarget;
use crate::router::{Asked, Caller, Ended, Plan, Presence, called, route};
use crate::wire::{Arena, Method, RequestWriter, Status, Uri};

fn forwarding(change: impl FnOnce(&mut Config)) -> std::sync::Arc<crate::config::Settings> {
    let mut config = config();
    change(&mut config);
    settings(config)
}

const BOB: &str = "sip:bob@example.com";

#[test]
fn what_an_account_does_not_take_goes_to_its_voicemail() {
    let settings = settings(config());
    let alice = identity("alice");
    for (ended, cause) in [
        (Ended::Offline, Some(503)),
        (Ended::Failed(503), Some(503)),
        (Ended::Busy, Some(486)),
        (Ended::NoAnswer, Some(408)),
        (Ended::DoNotDisturb, Some(404)),
        (Ended::Declined, None),
        (Ended::Failed(488), None),
    ] {
        let mut plan = ask(&settings, Caller::Account(&alice), BOB).expect("a plan");
        assert_eq!(plan.next(None).map(|step| shown(&step)).as_deref(), Some("bob@example.com"));
        let expected = cause
            .map(|cause| format!("<sip:vm-bob@mail.example;target=sip:bob%40example.com;cause={cause}>"));
        assert_eq!(plan.next(Some(ended)).map(|step| shown(&step)), expected, "{ended:?}");
    }
}

#[test]
fn an_account_forwards_for_each_reason() {
    let settings = forwarding(|config| {
        let forward = &mut config.accounts[1].forward;
        forward.busy = Some("alice".into());
        forward.no_answer = Some("carol".into());
        forward.offline = Some("sip:bob@mobile.example".into());
        config.accounts[2].voicemail = Voicemail::Off;
    });
    let caller = identity("carol");
    for (ended, expected) in [
        // What follows alice is what ended her: she is busy, and so is her voicemail.
        (
            Ended::Busy,
            "bob@example.com, alice@example.com, <sip:vm-alice@mail.example;target=sip:alice%40example.com;cause=486>, 480",
        ),
        (Ended::NoAnswer, "bob@example.com, carol@example.com, 480"),
        (Ended::Offline, "bob@example.com, <sip:bob@mobile.example>, 480"),
    ] {
        assert_eq!(path(ask(&settings, Caller::Account(&caller), BOB), ended), expected);
    }
}

#[test]
fn a_call_is_forwarded_with_the_permissions_of_whoever_forwards_it() {
    let settings = forwarding(|config| {
        config.accounts[0].forward.always = Some("+442079460009".into());
        config.accounts[2].forward.always = Some("+442079460009".into());
        config.calls.as_mut().expect("calls").voicemail = None;
    });
    // alice may dial there, and somebody on a trunk gets there by her; carol may not, and her phones ring.
    let trunk = Caller::Trunk(0);
    let out = "<sip:00442079460009@carrier.example;transport=tcp> on trunk 0";
    assert_eq!(path(ask(&settings, trunk, "sip:alice@example.com"), Ended::Busy), format!("{out}, 480"));
    assert_eq!(path(ask(&settings, trunk, "sip:carol@example.com"), Ended::Busy), "carol@example.com, 480");
}

#[test]
fn forwarding_in_a_circle_ends_at_the_phones() {
    let settings = forwarding(|config| {
        config.accounts[0].forward.always = Some("bob".into());
        config.accounts[1].forward.always = Some("carol".into());
        config.accounts[2].forward.always = Some("alice".into());
        config.calls.as_mut().expect("calls").voicemail = None;
    });
    let caller = identity("bob");
    assert_eq!(
        path(ask(&settings, Caller::Account(&caller), "sip:alice@example.com"), Ended::Busy),
        "carol@example.com, 480"
    );
}

#[test]
fn who_does_not_want_to_be_disturbed_is_not() {
    let alice = identity("alice");
    let plain = settings(config());
    let silent = forwarding(|config| {
        config.accounts[1].forward.do_not_disturb = true;
        config.calls.as_mut().expect("calls").voicemail = None;
    });
    let caller = Caller::Account(&alice);
    let voicemail = "<sip:vm-bob@mail.example;target=sip:bob%40example.com;cause=404>, 480";
    assert_eq!(path(ask_with(&plain, caller, BOB, Presence::DoNotDisturb), Ended::Busy), voicemail);
    assert_eq!(path(ask(&silent, caller, BOB), Ended::Busy), "480");
    // Neither is a member of a group; the others ring.
    assert_eq!(
        path(ask(&silent, caller, "sip:sales@example.com"), Ended::Busy),
        "alice@example.com, carol@example.com, 480"
    );
    for presence in [Presence::Busy, Presence::Away, Presence::Offline, Presence::Available] {
        let mut plan = ask_with(&plain, caller, BOB, presence).expect("a plan");
        assert_eq!(plan.next(None).map(|step| shown(&step)).as_deref(), Some("bob@example.com"));
    }
}

#[test]
fn a_message_goes_to_the_phones_and_nowhere_else() {
    let settings = forwarding(|config| {
        config.accounts[1].forward.always = Some("alice".into());
        config.accounts[1].forward.do_not_disturb = true;
    });
    let (carol, uri) = (identity("carol"), Uri::parse(BOB.as_bytes()).expect("a URI"));
    let asked = Asked {
        caller: Caller::Account(&carol),
        caller_aor: "carol@example.com",
        uri: &uri,
        is_message: true,
    };
    let plan = route(&settings, &asked, called(&settings, &asked), Presence::DoNotDisturb);
    assert_eq!(path(plan, Ended::Offline), "bob@example.com, 480");
}

#[test]
fn the_next_trunk_is_for_failures_and_the_next_group_for_all_but_a_refusal() {
    let settings = settings(config());
    let alice = identity("alice");
    let (abroad, sales) = ("sip:+442079460009@example.com", "sip:sales@example.com");
    for (uri, ended, steps) in [
        (abroad, Ended::Offline, 2),
        (abroad, Ended::Failed(503), 2),
        (abroad, Ended::Failed(404), 1),
        (abroad, Ended::Busy, 1),
        (abroad, Ended::NoAnswer, 1),
        (sales, Ended::Busy, 2),
        (sales, Ended::NoAnswer, 2),
        (sales, Ended::Declined, 1),
    ] {
        let path = path(ask(&settings, Caller::Account(&alice), uri), ended);
        assert_eq!(path.split(", ").count() - 1, steps, "{uri} {ended:?}: {path}");
    }
}

#[test]
fn those_who_sent_a_call_on_are_named_in_order() {
    let settings = forwarding(|config| {
        config.accounts[1].forward.always = Some("carol".into());
        config.accounts[2].forward.busy = Some("alice".into());
    });
    let caller = identity("bob");
    let mut plan = ask(&settings, Caller::Account(&caller), BOB).expect("a plan");
    assert!(plan.next(None).is_some() && plan.next(Some(Ended::Busy)).is_some());
    let step = plan.next(Some(Ended::NoAnswer)).expect("the voicemail");
    let mut arena = Arena::new();
    let mut writer = RequestWriter::new(&mut arena, Method::Invite, BOB.as_bytes());
    for (name, value) in step.diversions.lines() {
        writer.other(name.as_bytes(), value.as_bytes());
    }
    let written = String::from_utf8(writer.finish().to_vec()).expect("text").replace(", <", ",\n <");
    insta::assert_snapshot!(written.replace('\r', ""));
}

#[test]
fn a_phone_redirects_as_far_as_its_owner_may_call() {
    let settings = settings(config());
    let carol = identity("carol");
    let contacts =
        |uris: &[&str]| uris.iter().map(|uri| ((*uri).into(), 1000)).collect::<Vec<(Box<str>, u16)>>();
    let mut plan = ask(&settings, Caller::Account(&carol), BOB).expect("a plan");
    assert!(plan.next(None).is_some());
    let step =
        plan.follow(contacts(&["sip:bob@home.example", "sip:bob@example.com", "sip:alice@example.com"]));
    // bob may relay; his own phones have rung.
    assert_eq!(step.map(|step| shown(&step)).as_deref(), Some("<sip:bob@home.example> + alice@example.com"));
    let mut plan =
        ask(&settings, Caller::Account(&identity("bob")), "sip:carol@example.com").expect("a plan");
    assert!(plan.next(None).is_some());
    assert_eq!(plan.follow(contacts(&["sip:carol@home.example"])), None);
    // Then the phone has failed, and the plan goes on.
    assert!(plan.next(Some(Ended::Busy)).is_some());
}

#[test]
fn redirections_are_followed_so_far_and_no_further() {
    let settings = settings(config());
    let mut plan = ask(&settings, Caller::Host, "sip:bob@elsewhere.example").expect("a plan");
    assert!(plan.next(None).is_some());
    let mut followed = 0;
    while plan.follow(vec![(format!("sip:{followed}@elsewhere.example").into(), 1000)]).is_some() {
        followed += 1;
    }
    assert_eq!(followed, settings.limits.redirects);
}

fn answered(targets: Vec<RouteTarget>) -> Result<Plan, Refusal> {
    let settings = settings(config());
    let uri = Uri::parse(BOB.as_bytes()).expect("a URI");
    let asked = Asked { caller: Caller::Trunk(0), caller_aor: "", uri: &uri, is_message: false };
    Plan::from_answer(&settings, &asked, targets)
}

#[test]
fn what_the_host_answers_rings_in_groups() {
    let target = |uri: &str, q| RouteTarget { q, ..RouteTarget::new(uri) };
    let targets = vec![
        target("sip:carol@example.com", 500),
        target("sip:alice@PBX.example.com", 900),
        target("sip:x@outside.example;transport=tcp", 900),
        target("tel:+15551234", 100),
        target("sip:alice@example.com", 100),
    ];
    assert_eq!(
        path(answered(targets), Ended::Busy),
        "alice@example.com + <sip:x@outside.example;transport=tcp>, carol@example.com, \
         <sip:0015551234@carrier.example;transport=tcp> on trunk 0 + <sip:0015551234@198.51.100.7:5080> on trunk 1, 480"
    );
    assert_eq!(
        answered(vec![target("sip:nobody@example.com", 0)]).err(),
        Some(Refusal::plain(Status::NOT_FOUND))
    );
    assert_eq!(answered(vec![target("no URI", 0)]).err(), Some(Refusal::plain(Status::ADDRESS_INCOMPLETE)));
}

#[test]
fn the_host_adds_no_header_that_holds_a_call_together() {
    let header = |name: &str, value: &str| (name.into(), value.into());
    let headers = vec![
        header("Alert-Info", "<http://ring.example>;info=x"),
        header("X-Account", "7"),
        header("v", "SIP/2.0/UDP evil"),
        header("call-id", "1"),
        header("X-Split", "a\r\nVia: b"),
        header("Not a token", "x"),
    ];
    let target = RouteTarget { headers, ..RouteTarget::new("sip:alice@example.com") };
    let step = answered(vec![target]).ok().and_then(|mut plan| plan.next(None)).expect("a step");
    let names: Vec<&str> = step.headers[0].iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["Alert-Info", "X-Account"]);
}

#[test]
fn a_response_means_how_a_phone_ended() {
    for (status, rang, ended) in [
        (Status::BUSY_HERE, true, Ended::Busy),
        (Status::BUSY_EVERYWHERE, false, Ended::Busy),
        (Status::TEMPORARILY_UNAVAILABLE, true, Ended::NoAnswer),
        (Status::TEMPORARILY_UNAVAILABLE, false, Ended::Offline),
        (Status::REQUEST_TIMEOUT, false, Ended::Offline),
        (Status::DECLINE, true, Ended::Declined),
        (Status::NOT_ACCEPTABLE_HERE, true, Ended::Failed(488)),
    ] {
        assert_eq!(Ended::of(status, rang), ended);
    }
}

#[test]
fn another_port_of_this_machine_is_another_server_for_whoever_configures_and_us_for_a_caller() {
    let target = |uri: &str| vec![RouteTarget::new(uri)];
    for (uri, path) in [
        (
            "sip:vm@pbx.example.com:5099;transport=tcp",
            Some("<sip:vm@pbx.example.com:5099;transport=tcp>, 480"),
        ),
        ("sip:bob@pbx.example.com:5060", Some("bob@example.com, 480")),
        ("sip:bob@pbx.example.com", Some("bob@example.com, 480")),
    ] {
        assert_eq!(Some(super::fixture::path(answered(target(uri)), Ended::Busy).as_str()), path, "{uri}");
    }
    let settings = forwarding(|config| {
        config.calls.as_mut().expect("calls").voicemail = Some("sip:vm@pbx.example.com:5099".into());
    });
    let nobody = identity("");
    assert_eq!(
        path(ask(&settings, Caller::Account(&nobody), "sip:bob@pbx.example.com:5099"), Ended::Busy),
        "bob@example.com, <sip:vm@pbx.example.com:5099;target=sip:bob%40example.com;cause=486>, 480"
    );
}
