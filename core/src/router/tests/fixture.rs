//! A small exchange: three accounts, two trunks, routes, numbers.

use std::sync::Arc;

use super::super::{Asked, Caller, Ended, Goal, Plan, Presence, Step, called, route};
use crate::config::{
    AccountConfig, CallsConfig, Config, IpNet, NumberRule, NumberUser, RouteConfig, RouteTo, Settings,
    TrunkConfig,
};
use crate::ctx::Refusal;
use crate::door::{Identity, Scheme, Secret};
use crate::wire::Uri;

pub(super) fn account(user: &str) -> AccountConfig {
    AccountConfig {
        username: user.into(),
        password: Some(Secret("secret".into())),
        ..AccountConfig::default()
    }
}

/// Without accounts.
pub(super) fn calls() -> CallsConfig {
    let to = |to: &str, trunk: Option<&str>, q| RouteTo {
        to: to.into(),
        trunk: trunk.map(Into::into),
        q,
        timeout: None,
    };
    let route = |pattern: &str, targets: Vec<RouteTo>| RouteConfig { pattern: pattern.into(), targets };
    let mut carrier = TrunkConfig::new("carrier", "sip:carrier.example;transport=tcp");
    carrier.sources = vec![IpNet::parse("192.0.2.0/24").expect("a network")];
    carrier.called = vec![NumberRule::new("+*", "00{rest}")];
    carrier.calling = vec![NumberRule::new("*", "{rest}")];
    carrier.from = "sip:{user}@carrier.example".into();
    carrier.inbound = vec![NumberRule::new("44*", "+44{rest}")];
    let mut spare = TrunkConfig::new("spare", "sip:198.51.100.7:5080");
    spare.listener = Some(1);
    spare.sources = vec![IpNet::parse("198.51.100.7").expect("a network")];
    let mut calls = CallsConfig {
        voicemail: Some("sip:vm-{user}@mail.example".into()),
        emergency: Some("112".into()),
        trunks: vec![carrier, spare],
        routes: vec![
            route("+*", vec![to("", Some("carrier"), 1000), to("00{rest}", Some("spare"), 500)]),
            route("112", vec![to("112", Some("carrier"), 1000)]),
            route("sales", vec![to("alice", None, 1000), to("bob", None, 1000), to("carol", None, 500)]),
            route("boss", vec![to("alice", None, 1000)]),
            route("*@partner.example", vec![to("sip:{user}@edge.partner.example", None, 1000)]),
            route("loop", vec![to("loop", None, 1000)]),
        ],
        ..CallsConfig::default()
    };
    calls.numbers.rules = vec![NumberRule::new("00*", "+{rest}"), NumberRule::new("0*", "+44{rest}")];
    calls.numbers.users = vec![NumberUser { number: "+442079460001".into(), aor: "alice".into() }];
    calls
}

/// alice may dial out within Britain and to the partner; bob may relay; carol may nothing.
pub(super) fn config() -> Config {
    let mut config = Config::new("example.com");
    config.domains[0].aliases.push("pbx.example.com".into());
    config.listeners = Vec::new();
    config.calls = Some(calls());
    config.calls.as_mut().expect("calls").trunks[1].listener = None;
    let dial = ["!+4490*", "+44*", "*@partner.example"].map(String::from).to_vec();
    config.accounts = vec![
        AccountConfig { dial: Some(dial), ..account("alice") },
        AccountConfig { may_relay: true, ..account("bob") },
        account("carol"),
    ];
    config
}

pub(super) fn settings(config: Config) -> Arc<Settings> {
    config.validate().expect("a good configuration")
}

pub(super) fn identity(user: &str) -> Identity {
    let scheme = if user.is_empty() { Scheme::None } else { Scheme::Digest };
    let aors = if user.is_empty() { Vec::new() } else { vec![format!("{user}@example.com").into()] };
    Identity { scheme, account: user.into(), aors, scopes: Vec::new(), foreign_contacts: false }
}

pub(super) fn ask(settings: &Arc<Settings>, caller: Caller<'_>, uri: &str) -> Result<Plan, Refusal> {
    ask_with(settings, caller, uri, Presence::Unknown)
}

pub(super) fn ask_with(
    settings: &Arc<Settings>,
    caller: Caller<'_>,
    uri: &str,
    presence: Presence,
) -> Result<Plan, Refusal> {
    let uri = Uri::parse(uri.as_bytes()).expect("a URI");
    let caller_aor = match caller {
        Caller::Account(identity) => identity.aors.first().map_or("", |aor| aor),
        _ => "",
    };
    let asked = Asked { caller, caller_aor, uri: &uri, is_message: false };
    route(settings, &asked, called(settings, &asked), presence)
}

/// Goals of a step in one line.
pub(super) fn shown(step: &Step) -> String {
    let goal = |goal: &Goal| match goal {
        Goal::Aor(aor) => aor.to_string(),
        Goal::Uri { uri, trunk: None } => format!("<{uri}>"),
        Goal::Uri { uri, trunk: Some(at) } => format!("<{uri}> on trunk {at}"),
        Goal::Redirect(to) => format!("redirect to {to:?}"),
    };
    step.goals.iter().map(goal).collect::<Vec<_>>().join(" + ")
}

/// All steps if each ends like that.
pub(super) fn path(plan: Result<Plan, Refusal>, ended: Ended) -> String {
    let mut plan = match plan {
        Ok(plan) => plan,
        Err(refusal) => return format!("{}", refusal.status.code()),
    };
    let mut steps = Vec::new();
    let mut next = plan.next(None);
    while let Some(step) = next {
        steps.push(shown(&step));
        assert!(steps.len() < 50, "a plan ends");
        next = plan.next(Some(ended));
    }
    steps.push(plan.refusal().status.code().to_string());
    steps.join(", ")
}
