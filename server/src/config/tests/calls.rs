//! Calls, routes, trunks, numbers, and what accounts say of their calls.

use strowger_core::config::{MediaMode, NumberRule, Voicemail};
use strowger_shell::options::MediaOptions;

use super::*;

#[test]
fn calls_are_on_and_lead_nowhere_outside() {
    let calls = load("strowger.toml", "").expect("valid").config.calls.expect("on");
    assert!(calls.trunks.is_empty() && calls.routes.is_empty() && calls.dial.is_empty());
    let loaded = load("strowger.toml", "[calls]\nenabled = false\n").expect("valid");
    assert!(loaded.config.calls.is_none());
    assert!(warnings(&loaded).iter().any(|warning| warning.contains("calls are off")));
}

#[test]
fn calls_reach_the_engines_configuration() {
    let loaded = load(
        "strowger.toml",
        r#"
        [[listen]]
        bind = "udp:0.0.0.0:5060"
        [[listen]]
        bind = "udp:0.0.0.0:5080"
        [[domain]]
        name = "example.com"
        [[account]]
        username = "alice"
        password = "hush"
        forward = { busy = "bob", no_answer = "+442079460999", after = "15s" }
        voicemail = false
        pickup = ["office"]
        may_relay = true
        dial = ["+44*"]
        [[account]]
        username = "bob"
        password = "hush"
        voicemail = "sip:{user}@vm.example.com"
        [calls]
        ring_timeout = "1m"
        session_expires = "10m"
        decline_is_local = true
        emergency = "112"
        [[route]]
        pattern = "+*"
        trunk = "carrier"
        [[route]]
        pattern = "sales"
        targets = [{ to = "alice" }, { to = "bob", q = 0.25, timeout = "5s" }]
        [[trunk]]
        name = "carrier"
        uri = "sip:carrier.example"
        username = "me"
        password = "hush"
        sources = ["198.51.100.0/24"]
        listener = "udp:0.0.0.0:5080"
        max_calls = 3
        qualify = "20s"
        register = true
        register_expires = "10m"
        called = [{ pattern = "+*", becomes = "00{rest}" }]
        [numbers]
        users = { "+442079460001" = "alice" }
        [[numbers.rule]]
        pattern = "0*"
        becomes = "+44{rest}"
        [limits]
        calls = 9
        stored_message = "1KiB"
        "#,
    );
    let config = loaded.unwrap_or_else(|faults| panic!("{faults}")).config;
    let forward = &config.accounts[0].forward;
    assert_eq!((forward.busy.as_deref(), forward.after), (Some("bob"), Some(Duration::from_secs(15))));
    assert_eq!(config.accounts[0].voicemail, Voicemail::Off);
    assert_eq!(config.accounts[0].dial.as_deref(), Some(&["+44*".to_owned()][..]));
    assert_eq!((config.accounts[0].pickup.len(), config.accounts[1].pickup.len()), (1, 0));
    assert!(config.accounts[0].may_relay && !config.accounts[1].may_relay);
    assert_eq!(config.accounts[1].voicemail, Voicemail::To("sip:{user}@vm.example.com".into()));
    assert_eq!((config.limits.calls, config.limits.message_bytes_stored), (9, 1024));
    let calls = config.calls.expect("on");
    assert_eq!((calls.ring_timeout, calls.session_expires), (Duration::from_secs(60), 600));
    assert!(calls.decline_is_local && calls.emergency.as_deref() == Some("112"));
    assert_eq!(calls.routes[0].targets[0].trunk.as_deref(), Some("carrier"));
    let second = &calls.routes[1].targets[1];
    assert_eq!((second.q, second.timeout), (250, Some(Duration::from_secs(5))));
    let trunk = &calls.trunks[0];
    assert_eq!((trunk.listener, trunk.max_calls, trunk.sources.len()), (Some(1), Some(3), 1));
    assert_eq!((trunk.qualify, trunk.register), (Some(Duration::from_secs(20)), true));
    assert_eq!((trunk.register_expires, &*trunk.register_as), (Duration::from_secs(600), ""));
    assert_eq!(trunk.called, [NumberRule::new("+*", "00{rest}")]);
    assert_eq!(calls.numbers.users[0].aor, "alice");
    assert_eq!(calls.numbers.rules.len(), 1);
}

#[test]
fn trunks_that_nobody_may_use_or_everybody_may_are_pointed_out() {
    let text = "[[listen]]\nbind = \"udp:0.0.0.0:5080\"\n[[trunk]]\nname = \"open\"\nuri = \"sip:carrier.example\"\n\
                listener = \"udp:0.0.0.0:5080\"\n";
    let warned = warnings(&load("strowger.toml", text).expect("valid")).join("\n");
    assert!(
        warned.contains("nobody may call over them") && warned.contains("trunk open takes calls"),
        "{warned}"
    );
}

#[test]
fn what_is_wrong_with_calls_is_shown_where_it_stands() {
    insta::assert_snapshot!(
        "calls_that_cannot_be",
        fault(
            r#"
[[domain]]
name = "example.com"

[[account]]
username = "alice"
password = "hush-hush"
forward = { busy = "two words" }

[calls]
session_expires = "30s"
min_se = "1500ms"
dial = ["+44*", "!"]

[[route]]
pattern = "9*"
trunk = "carier"

[[route]]
pattern = "8*"
to = "sip:gw@{rest}"

[[route]]
pattern = "7*"

[[trunk]]
name = "carrier"
uri = "carrier.example"
password = "hush-hush"
listener = "udp:0.0.0.0:5999"

[numbers]
users = { "one" = "alice", "+441" = "nobody@elsewhere.example" }
[[numbers.rule]]
pattern = "x*"
becomes = "+{rest}"
"#
        )
    );
}

#[test]
fn what_cannot_be_registered_names_its_line() {
    let text = fault(
        "[[trunk]]\nname = \"carrier\"\nuri = \"sip:carrier.example\"\nqualify = \"1ms\"\nregister = true\n\
         register_expires = \"5s\"\n",
    );
    for (line, what) in [(4, "must be at least a second"), (6, "must be at least a minute")] {
        assert!(text.contains(what) && text.contains(&format!("{line} |")), "{what}: {text}");
    }
    assert!(text.contains("needs username or register_as"), "{text}");
    let text = fault(
        "[[trunk]]\nname = \"carrier\"\nuri = \"sip:carrier.example\"\nregister = true\nregister_as = \"nobody\"\n",
    );
    assert!(text.contains("must be a URI with a user"), "{text}");
}

#[test]
fn a_misspelt_key_of_a_trunk_says_what_was_meant_and_shows_no_password() {
    let text =
        fault("[[trunk]]\nname = \"carrier\"\nuri = \"sip:carrier.example\"\npasword = \"hush-hush\"\n");
    assert!(text.contains("did you mean `password`?") && !text.contains("hush-hush"), "{text}");
    let text = fault("[[routes]]\npattern = \"9*\"\n");
    assert!(text.contains("did you mean `route`?"), "{text}");
    let text = fault("[[account]]\nusername = \"a\"\npassword = \"b\"\nforward = { busi = \"c\" }\n");
    assert!(text.contains("did you mean `busy`?"), "{text}");
}

#[test]
fn media_are_relayed_where_the_file_says_so() {
    let off = load("strowger.toml", "").expect("valid");
    assert_eq!(off.config.calls.expect("on").media.mode, MediaMode::Off);
    assert_eq!(off.options.media, MediaOptions::Nobody);

    let text = "[media]\nmode = \"auto\"\nadvertised = [\"10.0.0.5\"]\nports = [40000, 40100]\nsilence = \"1m\"\n\
        [network]\nlocal = [\"10.0.0.0/8\"]\n";
    let loaded = load("strowger.toml", text).expect("valid");
    assert!(warnings(&loaded).iter().any(|warning| warning.contains("10.0.0.5 is private")));
    let MediaOptions::Relay(relay) = &loaded.options.media else { panic!("{:?}", loaded.options.media) };
    assert_eq!((relay.ports.clone(), relay.silence.as_secs()), (40_000..=40_100, 60));
    let calls = loaded.config.calls.expect("on");
    assert_eq!((calls.media.mode, calls.media.local.len()), (MediaMode::Auto, 1));

    let text = "[media]\nmode = \"always\"\nrtpengine = \"udp:127.0.0.1:2223\"\n";
    let loaded = load("strowger.toml", text).expect("valid");
    assert!(matches!(loaded.options.media, MediaOptions::Rtpengine(_)));

    for (text, path) in [
        ("mode = \"auto\"", "media.advertised"),
        ("mode = \"auto\"\nrtpengine = \"127.0.0.1:2223\"", "media.rtpengine"),
        ("mode = \"auto\"\naddress = \"10.0.0.5\"\nports = [40000, 40001]", "media.ports"),
        ("mode = \"auto\"\naddress = \"10.0.0.5\"\nsilence = \"0s\"", "media.silence"),
    ] {
        let faults = load("strowger.toml", &format!("[media]\n{text}\n")).expect_err("a fault").to_string();
        assert!(faults.contains(path), "{faults}");
    }
}
