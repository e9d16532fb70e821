//! Faults of a configuration of calls, each named by its path; and texts of people made URIs.

use core::time::Duration;

use super::pattern::{fill, user_part};
use super::{CallsConfig, ForwardConfig, NumberRule, RouteConfig, TrunkConfig, Voicemail};
use crate::config::settings::{Faults, is_quotable};
use crate::config::{AccountConfig, Domains};
use crate::wire::{Host, Uri};

const URI: &str = "must be a URI, user@domain, a user of the default domain, or a number";

/// Checks everything and writes it as the engine reads it.
pub(in crate::config) fn check(
    calls: &mut CallsConfig,
    listeners: usize,
    domains: &Domains,
    faults: &mut Faults,
) {
    for (name, value) in [
        ("ring_timeout", calls.ring_timeout),
        ("target_timeout", calls.target_timeout),
        ("max_duration", calls.max_duration),
    ] {
        faults.unless(!value.is_zero(), || format!("calls.{name}"), "must be above zero");
    }
    faults.unless(!calls.media.patience.is_zero(), || "calls.media.patience", "must be above zero");
    // RFC 4028 s5: the smallest Min-SE is 90.
    faults.unless(calls.min_se >= 90, || "calls.min_se", "must be at least 90 (RFC 4028 s5)");
    faults.unless(
        calls.session_expires >= calls.min_se,
        || "calls.session_expires",
        "must be at least min_se",
    );
    let home = domains.names().first().map_or("", |name| name);
    if let Some(voicemail) = &mut calls.voicemail {
        template(voicemail, "calls.voicemail", home, faults);
    }
    if let Some(emergency) = &mut calls.emergency {
        aim(emergency, "calls.emergency", home, faults);
    }
    permissions(&calls.dial, "calls.dial", faults);
    for (i, trunk) in calls.trunks.iter_mut().enumerate() {
        check_trunk(trunk, &format!("trunks[{i}]"), listeners, faults);
    }
    for (i, trunk) in calls.trunks.iter().enumerate() {
        let first = calls.trunks.iter().position(|other| other.name == trunk.name);
        faults.unless(first == Some(i), || format!("trunks[{i}].name"), "another trunk has this name");
    }
    for (i, route) in calls.routes.iter_mut().enumerate() {
        check_route(route, &format!("routes[{i}]"), &calls.trunks, home, faults);
    }
    rules(&calls.numbers.rules, "numbers.rules", faults);
    for (i, user) in calls.numbers.users.iter_mut().enumerate() {
        let number = super::pattern::number(&user.number);
        match number {
            Some(number) => user.number = number,
            None => {
                faults.add(format!("numbers.users[{i}]"), format!("{:?} is not a number", user.number));
            }
        }
        let text = if user.aor.contains('@') { user.aor.clone() } else { format!("{}@{home}", user.aor) };
        match domains.canonical_aor(&text) {
            Some(aor) => user.aor = aor.into(),
            None => faults.add(
                format!("numbers.users[{i}]"),
                format!("{:?} is not user@domain of a configured domain", user.aor),
            ),
        }
    }
    calls.numbers.users.sort_by(|a, b| a.number.cmp(&b.number));
    for pair in calls.numbers.users.windows(2) {
        if let [a, b] = pair
            && a.number == b.number
        {
            faults.add("numbers.users", format!("two users have the number {:?}", a.number));
        }
    }
}

/// The same for what an account says of its calls.
pub(in crate::config) fn check_account(
    a: &AccountConfig,
    i: usize,
    domain: &str,
    faults: &mut Faults,
) -> (ForwardConfig, Voicemail) {
    let mut forward = a.forward.clone();
    for (name, target) in [
        ("always", &mut forward.always),
        ("busy", &mut forward.busy),
        ("no_answer", &mut forward.no_answer),
        ("offline", &mut forward.offline),
    ] {
        if let Some(target) = target {
            aim(target, &format!("accounts[{i}].forward.{name}"), domain, faults);
        }
    }
    faults.unless(
        forward.after.is_none_or(|after| !after.is_zero()),
        || format!("accounts[{i}].forward.after"),
        "must be above zero",
    );
    let mut voicemail = a.voicemail.clone();
    if let Voicemail::To(uri) = &mut voicemail {
        template(uri, &format!("accounts[{i}].voicemail"), domain, faults);
    }
    permissions(a.dial.as_deref().unwrap_or_default(), &format!("accounts[{i}].dial"), faults);
    faults.unless(
        a.pickup.iter().all(|group| !group.is_empty()),
        || format!("accounts[{i}].pickup"),
        "a group has a name",
    );
    (forward, voicemail)
}

fn check_trunk(trunk: &mut TrunkConfig, path: &str, listeners: usize, faults: &mut Faults) {
    faults.unless(
        !trunk.name.is_empty() && is_quotable(&trunk.name),
        || format!("{path}.name"),
        "must be printable, without quotes",
    );
    let bare = match Uri::parse(trunk.uri.as_bytes()) {
        Ok(uri) => uri.is_sip() && uri.user().is_none() && uri.headers().is_empty(),
        Err(_) => false,
    };
    faults.unless(
        bare,
        || format!("{path}.uri"),
        "must be a URI without a user, such as sip:carrier.example;transport=tcp",
    );
    faults.unless(
        trunk.password.is_none() == trunk.username.is_empty(),
        || format!("{path}.password"),
        "username and password go together",
    );
    faults.unless(
        is_quotable(&trunk.username),
        || format!("{path}.username"),
        "must be printable, without quotes",
    );
    faults.unless(
        trunk.listener.is_none_or(|listener| usize::from(listener) < listeners),
        || format!("{path}.listener"),
        "there is no such listener",
    );
    faults.unless(
        trunk.max_calls != Some(0),
        || format!("{path}.max_calls"),
        "must be above zero; without a route nothing goes there",
    );
    faults.unless(
        trunk.qualify.is_none_or(|every| every >= Duration::from_secs(1)),
        || format!("{path}.qualify"),
        "must be at least a second",
    );
    if trunk.register {
        check_registration(trunk, path, faults);
    }
    for name in &mut trunk.tls_names {
        name.make_ascii_lowercase();
        faults.unless(
            Host::parse(name.as_bytes()).is_ok() || Uri::parse(name.as_bytes()).is_ok(),
            || format!("{path}.tls_names"),
            "must be host names or URIs",
        );
    }
    faults.unless(
        trunk.from.is_empty() || is_template(&trunk.from),
        || format!("{path}.from"),
        "must be a URI such as sip:{user}@example.com",
    );
    rules(&trunk.called, &format!("{path}.called"), faults);
    rules(&trunk.calling, &format!("{path}.calling"), faults);
    rules(&trunk.inbound, &format!("{path}.inbound"), faults);
}

fn check_registration(trunk: &mut TrunkConfig, path: &str, faults: &mut Faults) {
    if trunk.register_as.is_empty() {
        faults.unless(
            !trunk.username.is_empty(),
            || format!("{path}.register_as"),
            "needs username or register_as, to say as whom",
        );
        let host = trunk.uri.split_once(':').map_or("", |(_, host)| host);
        let host = host.split(';').next().unwrap_or_default();
        trunk.register_as = format!("sip:{}@{host}", user_part(&trunk.username));
    }
    let named = Uri::parse(trunk.register_as.as_bytes());
    faults.unless(
        named.is_ok_and(|uri| uri.is_sip() && uri.user().is_some() && uri.headers().is_empty()),
        || format!("{path}.register_as"),
        "must be a URI with a user, such as sip:exchange@carrier.example",
    );
    faults.unless(
        trunk.register_expires >= Duration::from_secs(60),
        || format!("{path}.register_expires"),
        "must be at least a minute",
    );
}

fn check_route(route: &mut RouteConfig, path: &str, trunks: &[TrunkConfig], home: &str, faults: &mut Faults) {
    pattern(&mut route.pattern, &format!("{path}.pattern"), faults);
    faults.unless(!route.targets.is_empty(), || format!("{path}.targets"), "name at least one target");
    for (j, target) in route.targets.iter_mut().enumerate() {
        let path = || format!("{path}.targets[{j}]");
        faults.unless(target.q <= 1000, || format!("{}.q", path()), "must be 0 to 1000");
        faults.unless(
            target.timeout.is_none_or(|timeout| !timeout.is_zero()),
            || format!("{}.timeout", path()),
            "must be above zero",
        );
        match &target.trunk {
            Some(name) => {
                let known = trunks.iter().any(|trunk| trunk.name == *name);
                faults.unless(known, || format!("{}.trunk", path()), "there is no trunk of this name");
                if target.to.is_empty() {
                    target.to.push_str("{user}");
                }
                faults.unless(
                    !target.to.contains('@')
                        && is_template(&format!("sip:{}@example.com", user_part(&target.to))),
                    || format!("{}.to", path()),
                    "with a trunk it is a number or a user there, such as {user} or 00{rest}",
                );
            }
            None => template(&mut target.to, &format!("{}.to", path()), home, faults),
        }
    }
}

/// A pattern of a route or a permission; its domain is folded.
fn pattern(pattern: &mut str, path: &str, faults: &mut Faults) {
    let (user, domain) = pattern.rsplit_once('@').unwrap_or((pattern, "*"));
    let start = user.strip_suffix('*').unwrap_or(user);
    let good = !user.is_empty()
        && start.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'{' | b'}' | b'@'))
        && (domain == "*" || Host::parse(domain.as_bytes()).is_ok());
    faults.unless(
        good,
        || path,
        "must be a number or a user, or its beginning and *, perhaps with @domain: +44*, 9*, sales, *@partner.example",
    );
    if let Some(at) = pattern.rfind('@')
        && let Some(domain) = pattern.get_mut(at..)
    {
        domain.make_ascii_lowercase();
    }
}

fn permissions(list: &[String], path: &str, faults: &mut Faults) {
    for (i, one) in list.iter().enumerate() {
        let mut bare = one.strip_prefix('!').unwrap_or(one).to_owned();
        let before = bare.clone();
        pattern(&mut bare, &format!("{path}[{i}]"), faults);
        faults.unless(bare == before, || format!("{path}[{i}]"), "a domain is written in lower case");
    }
}

fn rules(rules: &[NumberRule], path: &str, faults: &mut Faults) {
    for (i, rule) in rules.iter().enumerate() {
        let good = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'*' | b'#'))
        };
        faults.unless(
            good(&rule.pattern),
            || format!("{path}[{i}].pattern"),
            "must be a number, or its beginning and *",
        );
        let filled = fill(&rule.becomes, "7", "7", "7");
        faults.unless(
            good(&filled),
            || format!("{path}[{i}].becomes"),
            "must be a number, in which {rest} may stand",
        );
    }
}

/// What people write for a target, as a URI.
fn aim(text: &mut String, path: &str, domain: &str, faults: &mut Faults) {
    *text = uri_of(text, domain);
    faults.unless(Uri::parse(text.as_bytes()).is_ok() && is_reached(text), || path, URI);
}

/// The same with what is filled in later.
fn template(text: &mut String, path: &str, domain: &str, faults: &mut Faults) {
    *text = uri_of(text, domain);
    faults.unless(is_template(text), || path, URI);
}

pub(crate) fn uri_of(text: &str, domain: &str) -> String {
    match (text, text.contains('@')) {
        (uri, _) if is_reached(uri) => uri.into(),
        (address, true) => format!("sip:{address}"),
        (user, false) => format!("sip:{}@{domain}", user_part(user)),
    }
}

/// Has it a scheme that calls go to?
fn is_reached(uri: &str) -> bool {
    ["sip:", "sips:", "tel:"].iter().any(|scheme| uri.starts_with(scheme))
}

/// A URI whatever is filled in, whose host nobody chooses who calls: what he dials stands in the user part alone.
fn is_template(text: &str) -> bool {
    let of = |dialled: &str| {
        let filled = fill(text, dialled, dialled, "example.com");
        let uri = Uri::parse(filled.as_bytes()).ok()?;
        is_reached(&filled).then(|| match uri.host() {
            Some(host) => format!("{host:?}{:?}{:?}", uri.port(), uri.params().raw()),
            None => String::new(),
        })
    };
    let (one, other) = (of("17"), of("+4"));
    one.is_some() && one == other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, NumberUser, RouteTo};
    use crate::door::Secret;

    #[test]
    fn every_fault_is_named_at_its_place() {
        let mut config = Config::new("example.com");
        let mut calls = CallsConfig { min_se: 60, session_expires: 30, ..CallsConfig::default() };
        calls.ring_timeout = Duration::ZERO;
        calls.voicemail = Some("vm {user}".into());
        calls.emergency = Some("mailto:help".into());
        calls.dial = ["+44*", "!", "x y", "*@Partner.example", "a@b@c"].map(String::from).to_vec();
        let mut trunk = TrunkConfig::new("carrier", "sip:me@carrier.example");
        trunk.listener = Some(3);
        trunk.username = "me".into();
        trunk.max_calls = Some(0);
        trunk.from = "sip:x@{user}".into();
        trunk.called = vec![NumberRule::new("+*", "oo{rest}")];
        calls.trunks = vec![trunk, TrunkConfig::new("carrier", "carrier.example")];
        let target = |to: &str, trunk: Option<&str>| RouteTo {
            to: to.into(),
            trunk: trunk.map(Into::into),
            ..RouteTo::default()
        };
        calls.routes = vec![
            RouteConfig { pattern: "9*9".into(), targets: vec![target("sip:{rest}@{rest}", None)] },
            RouteConfig { pattern: "".into(), targets: Vec::new() },
            RouteConfig { pattern: "8*".into(), targets: vec![target("a@b", Some("carier"))] },
            RouteConfig { pattern: "*@Partner.example".into(), targets: vec![target("alice", None)] },
        ];
        let user = |number: &str, aor: &str| NumberUser { number: number.into(), aor: aor.into() };
        calls.numbers.users =
            vec![user("+44-1", "alice"), user("+441", "bob"), user("x", "bob@elsewhere.example")];
        config.calls = Some(calls);
        let mut alice = AccountConfig { username: "alice".into(), ..AccountConfig::default() };
        alice.password = Some(Secret("secret".into()));
        alice.forward.busy = Some("two words".into());
        alice.voicemail = Voicemail::To("sip:".into());
        config.accounts = vec![alice];
        let faults = config.validate().expect_err("faults");
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(faults.join("\n"));
    }

    #[test]
    fn what_people_write_becomes_a_uri() {
        for (text, uri) in [
            ("alice", "sip:alice@example.com"),
            ("+442079460000", "sip:+442079460000@example.com"),
            ("#31#7", "sip:%2331%237@example.com"),
            ("bob@partner.example", "sip:bob@partner.example"),
            ("sips:bob@partner.example;transport=tcp", "sips:bob@partner.example;transport=tcp"),
            ("tel:+44", "tel:+44"),
        ] {
            assert_eq!(uri_of(text, "example.com"), uri);
        }
    }
}
