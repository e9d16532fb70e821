//! Trunks: whose call it is that comes in, and how numbers are written on the way out. DECISIONS 9.

use core::net::IpAddr;

use super::Caller;
use crate::config::pattern::{captured, fill, number, rewritten, user_part};
use crate::config::{NumberRule, Settings, TrunkConfig};
use crate::door::PeerIdentity;

/// The trunk a request comes over: the first whose listener is this one, and whose sources hold the address or whose
/// certificate it is. A trunk that names neither is known by its listener alone; one that names nothing only takes calls.
pub(crate) fn trunk_of(
    settings: &Settings,
    source: IpAddr,
    listener: u16,
    peer: Option<&PeerIdentity>,
) -> Option<u16> {
    let trunks = &settings.calls.as_ref()?.trunks;
    let is_from = |trunk: &TrunkConfig| {
        let by_listener = trunk.listener.is_none_or(|own| own == listener);
        let by_source = trunk.sources.iter().any(|net| net.contains(source));
        let named = |name: &str| trunk.tls_names.iter().any(|own| own == name);
        let by_name = peer.is_some_and(|peer| peer.names.iter().any(|name| named(name)));
        let by_listener_alone =
            trunk.sources.is_empty() && trunk.tls_names.is_empty() && trunk.listener.is_some();
        by_listener && (by_source || by_name || by_listener_alone)
    };
    trunks.iter().position(is_from).and_then(|at| u16::try_from(at).ok())
}

/// How numbers are read that a caller dials.
pub(super) fn inbound_rules<'s>(settings: &'s Settings, caller: Caller<'_>) -> &'s [NumberRule] {
    match caller {
        Caller::Trunk(at) => trunk(settings, at).map_or(&[], |trunk| &trunk.inbound),
        _ => &[],
    }
}

/// The Request-URI of a call to a number, or a user, on a trunk: as its rules write the number, or else as the route says.
pub(super) fn request_uri(trunk: &TrunkConfig, number: &str, said: &str) -> String {
    let by =
        |rule: &NumberRule| captured(&rule.pattern, number).map(|rest| fill(&rule.becomes, rest, number, ""));
    let written = trunk.called.iter().find_map(by).unwrap_or_else(|| said.into());
    let written = user_part(&written);
    match trunk.uri.split_once(':') {
        Some((scheme, host)) => format!("{scheme}:{written}@{host}"),
        None => format!("sip:{written}@{}", trunk.uri),
    }
}

/// The From of a call over a trunk: the URI of whoever calls, as it is written there. Of a caller with several numbers
/// it is the first.
pub(crate) fn from_uri(settings: &Settings, at: u16, caller_aor: &str) -> Option<String> {
    let trunk = trunk(settings, at)?;
    let (user, domain) = caller_aor.rsplit_once('@')?;
    let users = settings.calls.as_ref().map_or(&[][..], |calls| &calls.numbers.users);
    let own = users.iter().find(|one| one.aor == caller_aor).map(|one| one.number.clone());
    let shown = match own.or_else(|| number(user)) {
        Some(number) => user_part(&rewritten(&trunk.calling, &number)).into_owned(),
        None => user.into(),
    };
    Some(match trunk.from.as_str() {
        "" => format!("sip:{shown}@{domain}"),
        template => fill(template, &shown, &shown, domain),
    })
}

fn trunk(settings: &Settings, at: u16) -> Option<&TrunkConfig> {
    settings.calls.as_ref()?.trunks.get(usize::from(at))
}
