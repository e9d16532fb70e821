//! Every setting there is reaches the engine. What was loaded is compared with what is default, value by value as `Debug`
//! shows them: a setting that is new and that no key of the file sets, or that the way from the file loses, is found by being
//! default still.

use std::collections::BTreeMap;
use std::fmt::Debug;

use strowger_core::config::{
    AccountConfig, IntrospectionConfig, IssuerConfig, JwtConfig, NumberRule, RouteTo, TrunkConfig,
};
use strowger_shell::options::StorageOptions;
use strowger_shell::relay::RelayOptions;

use super::*;

const EVERY: &str = include_str!("every.toml");

/// What no file says, and who does.
const ELSEWHERE: [(&str, &str); 16] = [
    ("accounts.0.without_password", "an account of the store that comes with tokens"),
    ("calls.0.ask_route", "a program with a closure for routes"),
    ("calls.0.media.patience", "a program"),
    ("digest.boot_epoch", "the state folder"),
    ("digest.foreign_delay", "a program with a store of users"),
    ("digest.foreign_lifetime", "a program with a store of users"),
    ("digest.foreign_store", "a program with a store of users"),
    ("digest.secret", "the state folder"),
    ("jwt.0.introspection.0.client_secret", "the file; it is shown to nobody"),
    ("jwt.0.issuers.0.scope", "the issuer of the server itself"),
    ("limits.flows", "the limit of connections is that of the sockets"),
    ("limits.per_user_agent", "a program with user agents"),
    ("limits.timers_per_call", "a program"),
    ("limits.user_agents", "a program with user agents"),
    ("registrar.0.expiring_notice", "a program"),
    ("tell", "what is logged, and whether there is a store"),
];

/// The values within something, by the way to each: fields by name, elements by number.
fn values(prefix: &str, of: &dyn Debug) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    // The way to where we are, and how many elements were there.
    let mut way: Vec<(String, usize)> = vec![(prefix.into(), 0)];
    for line in format!("{of:#?}").lines().skip(1) {
        let line = line.trim();
        if line.starts_with(['}', ']', ')']) {
            way.pop();
            continue;
        }
        let Some((within, count)) = way.last_mut() else { break };
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let (name, value) = match line.split_once(": ") {
            Some((name, value)) if is_name(name) => (name.to_owned(), value),
            _ => (count.to_string(), line),
        };
        *count += 1;
        let path = if within.is_empty() { name } else { format!("{within}.{name}") };
        match value.ends_with(['{', '[', '(']) {
            true => way.push((path, 0)),
            false => _ = found.insert(path, value.trim_end_matches(',').to_owned()),
        }
    }
    found
}

#[test]
fn every_setting_of_the_engine_can_be_set_and_arrives() {
    let loaded = load("every.toml", EVERY).unwrap_or_else(|faults| panic!("{faults}"));
    let defaults = load("strowger.toml", "").expect("valid");
    let mut default = values("", &defaults.config);
    let parts: [(&str, &dyn Debug); 8] = [
        ("accounts.0", &AccountConfig::default()),
        ("jwt.0", &JwtConfig::default()),
        ("jwt.0.issuers.0", &IssuerConfig::default()),
        ("jwt.0.introspection.0", &IntrospectionConfig::default()),
        ("calls.0.routes.0.targets.0", &RouteTo::default()),
        ("calls.0.trunks.0", &TrunkConfig::new("", "")),
        ("calls.0.numbers.rules.0", &NumberRule::new("", "")),
        ("listeners.0", &strowger_tokio::everywhere(5060)[0]),
    ];
    for (prefix, part) in parts {
        default.extend(values(prefix, part));
    }
    let set = values("", &loaded.config);
    let is_elsewhere = |path: &str| {
        let within = |(of, _): &(&str, &str)| {
            path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        ELSEWHERE.iter().any(within)
    };
    let left: Vec<String> = set
        .iter()
        .filter(|(path, value)| default.get(*path) == Some(value) && !is_elsewhere(path))
        .map(|(path, value)| format!("{path} = {value}"))
        .collect();
    assert!(left.is_empty(), "left as they were: {left:#?}");
    let jwt = loaded.config.jwt.as_ref().expect("tokens");
    assert_eq!(jwt.introspection.as_ref().expect("asked").client_secret.0, "hush");
    // And they are what the file says.
    let all: String = set.iter().map(|(path, value)| format!("{path} = {value}\n")).collect();
    insta::assert_snapshot!("every_setting", all);
    // What is said to be set elsewhere is there at all.
    for (path, by) in ELSEWHERE {
        assert!(set.keys().any(|key| key.starts_with(path)), "{path} is gone ({by})");
    }
}

#[test]
fn every_setting_of_the_sockets_that_has_a_key_arrives() {
    let loaded = load("every.toml", EVERY).unwrap_or_else(|faults| panic!("{faults}"));
    let stream = &loaded.options.stream;
    assert_eq!((stream.connections, stream.connections_per_source), (1001, 102));
    assert_eq!((stream.idle, stream.message_deadline), (Duration::from_secs(61), Duration::from_secs(31)));
    assert_eq!((stream.write_deadline, stream.write_queue), (Duration::from_secs(33), 2 << 20));
    assert_eq!(stream.keep_alives, 61);
    assert_eq!(stream.web.origins, ["https://phone.example.com"]);
    assert_eq!(loaded.options.datagram.socket_buffer, 1 << 20);
    let StorageOptions { durability, interval, batch, queue_bytes, queue, .. } = loaded.options.storage;
    assert_eq!(durability, strowger_shell::options::Durability::Strict);
    assert_eq!((interval, batch, queue_bytes, queue), (Duration::from_millis(20), 501, 32 << 20, 5001));
    let MediaOptions::Relay(relay) = &loaded.options.media else { panic!("a relay") };
    let RelayOptions { address, advertised, ports, silence, .. } = relay;
    assert_eq!(
        (address.to_string(), &advertised[..]),
        ("192.0.2.10".into(), &["203.0.113.5".parse().expect("an address")][..])
    );
    assert_eq!((ports, *silence), (&(31000..=31999), Duration::from_secs(240)));
    assert_eq!(
        (loaded.drain_timeout, loaded.state_dir),
        (Duration::from_secs(60), Some("/tmp/strowger".into()))
    );
}
