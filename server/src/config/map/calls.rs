//! Calls, routes, trunks and numbers.

use strowger_core::config::{
    CallsConfig, ConfigError, ListenerConfig, NumberRule, NumberUser, NumbersConfig, RouteConfig, RouteTo,
    TrunkConfig,
};

use super::{Seconds, file};

pub(super) fn calls(
    from: file::Calls,
    routes: Vec<file::Route>,
    trunks: Vec<file::Trunk>,
    numbers: file::Numbers,
    listeners: &[ListenerConfig],
    errors: &mut Vec<ConfigError>,
) -> Option<CallsConfig> {
    let mut to =
        CallsConfig { voicemail: from.voicemail, emergency: from.emergency, ..CallsConfig::default() };
    let mut seconds = Seconds { section: "calls", errors };
    seconds.set(&mut to.session_expires, from.session_expires, "session_expires");
    seconds.set(&mut to.min_se, from.min_se, "min_se");
    set!(to, from; ring_timeout, target_timeout, max_duration, session_timers, single_early_dialog, decline_is_local, dial);
    to.routes = routes.into_iter().enumerate().map(|(i, route)| self::route(i, route, errors)).collect();
    to.trunks =
        trunks.into_iter().enumerate().map(|(i, trunk)| self::trunk(i, trunk, listeners, errors)).collect();
    to.numbers = NumbersConfig {
        rules: rules(numbers.rule),
        users: numbers.users.into_iter().map(|(number, aor)| NumberUser { number, aor }).collect(),
    };
    from.enabled.unwrap_or(true).then_some(to)
}

fn route(i: usize, from: file::Route, errors: &mut Vec<ConfigError>) -> RouteConfig {
    let file::Route { pattern, to, trunk, targets } = from;
    let targets = match (to, trunk, targets) {
        (None, None, Some(targets)) => targets,
        (to, trunk, None) if to.is_some() || trunk.is_some() => {
            vec![file::Target { to, trunk, ..file::Target::default() }]
        }
        _ => {
            errors.push(ConfigError {
                path: format!("routes[{i}]"),
                message: "needs to, or trunk, or both, or targets with these in each, to say where calls go"
                    .into(),
            });
            // One fault is enough.
            vec![file::Target { to: Some("nobody".into()), ..file::Target::default() }]
        }
    };
    let target = |target: file::Target| RouteTo {
        to: target.to.unwrap_or_default(),
        trunk: target.trunk,
        q: target.q.map_or(RouteTo::default().q, |q| q.0),
        timeout: target.timeout.map(|timeout| timeout.0),
    };
    RouteConfig { pattern, targets: targets.into_iter().map(target).collect() }
}

fn trunk(
    i: usize,
    from: file::Trunk,
    listeners: &[ListenerConfig],
    errors: &mut Vec<ConfigError>,
) -> TrunkConfig {
    let mut to = TrunkConfig::new(from.name, from.uri);
    if let Some(wanted) = from.listener {
        let is_it = |listener: &ListenerConfig| {
            (listener.transport, listener.addr) == (wanted.transport, wanted.addr)
        };
        to.listener = listeners.iter().position(is_it).and_then(|at| u16::try_from(at).ok());
        if to.listener.is_none() {
            errors.push(ConfigError {
                path: format!("trunks[{i}].listener"),
                message: "must be the bind of a [[listen]]".into(),
            });
        }
    }
    to.username = from.username.unwrap_or_default();
    to.password = from.password.map(|password| password.0);
    to.sources = from.sources.into_iter().map(|net| net.0).collect();
    to.tls_names = from.tls_names;
    to.max_calls = from.max_calls;
    to.qualify = from.qualify.map(|span| span.0);
    to.register = from.register;
    set!(to, from; register_as, register_expires);
    to.from = from.from.unwrap_or_default();
    to.asserted = from.asserted;
    to.called = rules(from.called);
    to.calling = rules(from.calling);
    to.inbound = rules(from.inbound);
    to
}

fn rules(from: Vec<file::NumberRule>) -> Vec<NumberRule> {
    from.into_iter().map(|rule| NumberRule::new(rule.pattern, rule.becomes)).collect()
}
